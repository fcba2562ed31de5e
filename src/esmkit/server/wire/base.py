"""What the wire modules share: versions of the API, bounds of a request, and the call that a request becomes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from esmkit.outputs import OutputOptions
from esmkit.server.errors import InvalidRequestError, Issue
from esmkit.types import ModelShape, Record, Result

Array = np.ndarray[Any, Any]
Arrays = Mapping[str, Any]
Entry = dict[str, Any]
FieldOf = Callable[[int], tuple[str | int, ...]]


def items_field(index: int) -> tuple[str | int, ...]:
    """Where the sequence of an item stands in a request."""
    return ("items", index, "sequence")


class Version(StrEnum):
    """BioLM's open gateway (v1, strict), its API of 2023 (v2), and its API of today (v3)."""

    V1 = "v1"
    V2 = "v2"
    V3 = "v3"


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much one request may hold."""

    max_items: int
    max_residues: int
    max_long_residues: int


class Body(BaseModel):
    """Base of all request parts: JSON types as they are, no coercion of "1" to 1."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", allow_inf_nan=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(ABC):
    """A checked request, ready for the queue, and how its results are written; a class per kind of answer.

    Attributes:
        action: encode, predict, log_prob or mutations.
        records: what to compute, ids `items__0` and so on.
        outputs: outputs of the engine.
        options: their options.
        long: length policy.
        residues: what is computed in total, linkers included.
        field_of: where the sequence of an item stands in the request.
        results_key: under which key the answer lists the results.
    """

    action: str
    records: list[Record]
    outputs: tuple[str, ...]
    residues: int
    options: OutputOptions = OutputOptions()  # noqa: RUF009
    long: Literal["error", "window", "truncate"] = "error"
    priority: Literal["interactive", "bulk"] = "interactive"
    deadline_s: float | None = None
    provenance: bool = False
    field_of: FieldOf = items_field
    results_key: str = "results"

    @abstractmethod
    def answer_bytes(self, shape: ModelShape) -> int:
        """Size of the numbers that are held for an answer, as fp32, known before anything is computed."""

    @abstractmethod
    def entries(self, version: Version, results: Sequence[Result]) -> list[Entry]:
        """One entry per item, in order; arrays stay numpy."""

    @abstractmethod
    def arrays(self, results: Sequence[Result]) -> Iterator[dict[str, Array]]:
        """The arrays of a binary answer, per item."""

    @abstractmethod
    def about(self, results: Sequence[Result]) -> dict[str, Any]:
        """What a binary answer says beside its arrays."""


def parsed(kind: type[BaseModel], body: bytes) -> Any:
    """The body as a request of this type.

    Raises:
        InvalidRequestError: names every field that is wrong; values are never repeated.
    """
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        raise InvalidRequestError([Issue(each["loc"], _plain(each["msg"]), each["type"]) for each in found]) from None


def _plain(message: str) -> str:
    return message.replace("List should have", "there should be").replace(" after validation", "")
