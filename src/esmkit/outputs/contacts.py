"""Contacts: the probability that two residues are near (CB within 8 A in the paper), from the contact head."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch

from esmkit.outputs.base import Output, Part
from esmkit.types import Column, Features, Needs, Row


@dataclass(frozen=True)
class Contacts(Output):
    """Contact probabilities, [L, L], symmetric."""

    name: ClassVar[str] = "contacts"
    requires: ClassVar[frozenset[str]] = frozenset({"contacts"})

    def needs(self) -> Needs:
        """The contact head."""
        return Needs(contacts=True)

    def columns(self) -> tuple[Column, ...]:
        """One map."""
        return (Column("contacts", "float", ("L", "L")),)

    def parts(self) -> Mapping[str, Part]:
        """One map per row; residues of different windows have no contact probability."""
        return {"contacts": Part("each", "none")}

    def compute(self, features: Features, rows: Sequence[Row]) -> Mapping[str, list[torch.Tensor]]:
        """The maps."""
        assert features.contacts is not None
        return {"contacts": features.contacts}
