"""What an action of esmkit's own is: a request, its cost, a function of `applications/` that answers it.

These actions are in v3 only, and no client of BioLM calls them. Each is one module of this folder.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, Field, create_model

from esmkit.alphabet import NONSTANDARD, STANDARD
from esmkit.applications.predictors import Saved
from esmkit.applications.search import Index
from esmkit.engine import Model
from esmkit.server.errors import InvalidRequestError, Issue
from esmkit.server.wire import esm2
from esmkit.server.wire.base import Body, Bounds, items_field

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
class Action:
    """One action.

    Attributes:
        name: in URLs.
        title: what it gives, for the list of routes.
        description: more of it.
        request: type of the body, for the bounds of a server.
        answer: type of the answer, for the documentation.
        cost: of a request; raises InvalidRequestError for what its type does not exclude.
        run: answers it, in a thread: (request, model, resources) -> what the answer lists as `results`.
        body, result: an example of a request, and of one entry of its answer.
        is_served: whether a server with these resources offers it.
    """

    name: str
    title: str
    description: str
    request: Callable[[Bounds], type[BaseModel]]
    answer: type[BaseModel]
    cost: Callable[[Any, Bounds], Cost]
    run: Callable[[Any, Model, Resources], Sequence[Mapping[str, Any]]]
    body: Mapping[str, Any]
    result: Mapping[str, Any]
    is_served: Callable[[Resources], bool] = lambda resources: True


class Item(Body):
    """One protein."""

    sequence: str


def request_type(name: str, bounds: Bounds, params: type[esm2.Params], item: type[Item] = Item) -> type[BaseModel]:
    """A request of items with a sequence each, and parameters that may be left out where all have a default."""
    text = f"Up to {bounds.max_residues} residues. Upper case: 20 amino acids and X B U Z O."
    shown: Any = {"minLength": 1, "maxLength": bounds.max_residues, "pattern": f"^[{RESIDUES}]+$"}
    sequence = Field(description=text, examples=["MKTAYIAKQRQISFVKSHFSRQ"], json_schema_extra=shown)
    kind = create_model(f"{name}Item", __base__=item, __doc__=item.__doc__, sequence=(str, sequence))
    items = Field(min_length=1, max_length=bounds.max_items, description="The proteins; answered in this order.")
    needed = any(each.is_required() for each in params.model_fields.values())
    given: dict[str, Any] = {"description": "How."}
    fields: dict[str, Any] = {
        "items": (list[kind], items),  # type: ignore[valid-type]
        "params": (params, Field(**given) if needed else Field(default_factory=params, **given)),
    }
    return create_model(f"{name}Request", __base__=esm2.Request, __doc__=f"A request for {name.lower()}.", **fields)


def checked_residues(items: Sequence[Item], params: esm2.Params, bounds: Bounds) -> int:
    """The residues of all items.

    Raises:
        InvalidRequestError: lists every sequence that is empty, too long, or holds what is no residue.
    """
    limit = bounds.max_residues if params.long == "error" else bounds.max_long_residues
    issues = []
    for number, item in enumerate(items):
        foreign = next(((at, each) for at, each in enumerate(item.sequence, 1) if each not in RESIDUES), None)
        if not item.sequence:
            issues.append(Issue(items_field(number), "the sequence is empty", "sequence_empty"))
        elif len(item.sequence) > limit:
            message = f"{len(item.sequence)} residues, at most {limit} are allowed"
            issues.append(Issue(items_field(number), message, "sequence_too_long"))
        elif foreign:
            message = f"position {foreign[0]}: {foreign[1]!r} is none of {RESIDUES}"
            issues.append(Issue(items_field(number), message, "sequence_residue"))
    if issues:
        raise InvalidRequestError(issues)
    return sum(len(item.sequence) for item in items)
