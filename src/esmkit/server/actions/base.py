"""What an action of esmkit's own is: a request, and what answers it, a function of `applications/` or the queue.

These actions are in v3 only, and no client of BioLM calls them. Each is one module of this folder.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from pydantic import BaseModel, Field, create_model

from esmkit.alphabet import NONSTANDARD, STANDARD
from esmkit.applications.predictors import Saved
from esmkit.applications.search import Index
from esmkit.engine import Model
from esmkit.server.errors import InvalidRequestError, Issue
from esmkit.server.wire import esm2
from esmkit.server.wire.base import Body, Bounds, Call
from esmkit.server.wire.schema import inlined

RESIDUES = STANDARD + NONSTANDARD


@dataclass(frozen=True, slots=True)
class Resources:
    """What the operator put beside the models.

    Attributes:
        predictors: by name.
        indexes: by name, open.
    """

    predictors: Mapping[str, Saved] = field(default_factory=dict)
    indexes: Mapping[str, Index] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Cost:
    """What a request takes, known before anything is computed.

    Attributes:
        items: proteins.
        residues: that are computed, masked rows counted one by one.
        numbers: in the answer, at most.
    """

    items: int
    residues: int
    numbers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Extension(ABC):
    """An action of esmkit's own, as the document of the server shows it.

    Attributes:
        name: in URLs.
        title: what it gives, for the list of routes.
        description: more of it.
        request: type of the body, for the bounds of a server.
        answer: type of the answer, for the documentation.
        is_served: whether a server with these resources offers it.
        is_binary: whether answers come in binary formats too.
    """

    is_binary: ClassVar[bool]

    name: str
    title: str
    description: str
    request: Callable[[Bounds], type[BaseModel]]
    answer: type[BaseModel]
    is_served: Callable[[Resources], bool] = lambda resources: True

    def schema(self, bounds: Bounds) -> dict[str, Any]:
        """JSON Schema of a request, everything in place; null stands for parameters that are left out."""
        described = inlined(self.request(bounds))
        if "params" not in described["required"]:
            described["properties"]["params"]["type"] = ["object", "null"]
        return described

    @abstractmethod
    def examples(self, bounds: Bounds) -> tuple[dict[str, Any], dict[str, Any]]:
        """Of a request and its answer: OpenAPI's `example` or `examples`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Action(Extension):
    """One that a function of `applications/` answers.

    Attributes:
        cost: of a request; raises InvalidRequestError for what its type does not exclude.
        run: answers it, in a thread: (request, model, resources) -> what the answer lists as `results`.
        body, result: an example of a request, and of one entry of its answer.
    """

    is_binary: ClassVar[bool] = False

    cost: Callable[[Any, Bounds], Cost]
    run: Callable[[Any, Model, Resources], Sequence[Mapping[str, Any]]]
    body: Mapping[str, Any]
    result: Mapping[str, Any]

    def examples(self, bounds: Bounds) -> tuple[dict[str, Any], dict[str, Any]]:
        """One of each."""
        return {"example": dict(self.body)}, {"example": {"results": [dict(self.result)]}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned(Extension):
    """One that a call of the queue answers.

    Attributes:
        plan: what the queue must compute for a request; raises InvalidRequestError for what its type does not exclude.
        shown: examples of requests, and of their answers, by name.
    """

    is_binary: ClassVar[bool] = True

    plan: Callable[[Any, Bounds], Call]
    shown: Callable[[Bounds], tuple[dict[str, Any], dict[str, Any]]]

    def examples(self, bounds: Bounds) -> tuple[dict[str, Any], dict[str, Any]]:
        """Several of each."""
        requests, answers = self.shown(bounds)
        return {"examples": requests}, {"examples": answers}


class Entry(Body):
    """What one answer is about.

    Attributes:
        proteins: the fields that hold a sequence, and what each is called in their descriptions.
    """

    proteins: ClassVar[Mapping[str, str]]

    @property
    def sequences(self) -> dict[str, str]:
        """By field."""
        return {field: getattr(self, field) for field in self.proteins}


class Item(Entry):
    """One protein."""

    proteins: ClassVar[Mapping[str, str]] = {"sequence": ""}

    sequence: str


class Pair(Entry):
    """Two proteins."""

    proteins: ClassVar[Mapping[str, str]] = {"a": "The first protein. ", "b": "The second. "}

    a: str
    b: str


def request_type(name: str, bounds: Bounds, params: type[esm2.Params], item: type[Entry] = Item) -> type[BaseModel]:
    """A request of items with their sequences, and parameters that may be left out where all have a default."""
    text = f"Up to {bounds.max_residues} residues. Upper case: 20 amino acids and X B U Z O."
    shown: Any = {"minLength": 1, "maxLength": bounds.max_residues, "pattern": f"^[{RESIDUES}]+$"}
    sequences: dict[str, Any] = {
        field: (str, Field(description=called + text, examples=["MKTAYIAKQRQISFVKSHFSRQ"], json_schema_extra=shown))
        for field, called in item.proteins.items()
    }
    kind = create_model(f"{name}Item", __base__=item, __doc__=item.__doc__, **sequences)
    items = Field(min_length=1, max_length=bounds.max_items, description="Answered in this order.")
    needed = any(each.is_required() for each in params.model_fields.values())
    given: dict[str, Any] = {"description": "How."}
    fields: dict[str, Any] = {
        "items": (list[kind], items),  # type: ignore[valid-type]
        "params": (params, Field(**given) if needed else Field(default_factory=params, **given)),
    }
    return create_model(f"{name}Request", __base__=esm2.Request, __doc__=f"A request for {name.lower()}.", **fields)


def checked_residues(items: Sequence[Entry], params: esm2.Params, bounds: Bounds) -> int:
    """The residues of all items.

    Raises:
        InvalidRequestError: lists every sequence that is empty, too long, or holds what is no residue.
    """
    limit = bounds.max_residues if params.long == "error" else bounds.max_long_residues
    issues = []
    for number, item in enumerate(items):
        for name, sequence in item.sequences.items():
            if problem := _problem(sequence, limit):
                issues.append(Issue(("items", number, name), *problem))
    if issues:
        raise InvalidRequestError(issues)
    return sum(len(sequence) for item in items for sequence in item.sequences.values())


def _problem(sequence: str, limit: int) -> tuple[str, str] | None:
    """Message and type of what is wrong with a sequence."""
    if not sequence:
        return "the sequence is empty", "sequence_empty"
    if len(sequence) > limit:
        return f"{len(sequence)} residues, at most {limit} are allowed", "sequence_too_long"
    foreign = next(((at, each) for at, each in enumerate(sequence, 1) if each not in RESIDUES), None)
    if foreign:
        return f"position {foreign[0]}: {foreign[1]!r} is none of {RESIDUES}", "sequence_residue"
    return None
