"""`interactions`: contacts between two proteins, both in one sequence with a linker that is cut out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cache
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, Field

from esmkit.applications import chains, interactions, pairs
from esmkit.applications.interactions import PairContacts
from esmkit.engine import Model
from esmkit.server.actions.base import Action, Cost, Pair, Resources, checked_residues, request_type
from esmkit.server.errors import InvalidRequestError, Issue
from esmkit.server.wire import esm2
from esmkit.server.wire.base import Bounds
from esmkit.server.wire.esm2_docs import Matrix, Shown, answer_type
from esmkit.types import FloatArray, Record

MAX_CONTACTS = 1000


class InteractionParams(esm2.Params):
    """How contacts are looked for."""

    long: Literal["error"] = Field("error", description="Both proteins and the linker must fit into the limit.")
    linker: int = Field(
        chains.LINKER_LENGTH, ge=1, le=200, description="Glycines between the two; cut from the answer."
    )
    threshold: float = Field(0.5, ge=0, le=1, description="Probability from which a contact counts.")
    maps: bool = Field(False, description="Add contacts_ab, the probabilities of all contacts between the two.")


class TouchingResidue(Shown):
    """A residue, and the one of the other protein that it touches most probably."""

    chain: Literal["A", "B"] = Field(description="Its protein.")
    position: int = Field(description="In its protein, from 1.")
    residue: str = Field(description="What stands there.")
    probability: float = Field(description="Of the contact with the partner.")
    partner_position: int = Field(description="In the other protein, from 1.")
    partner_residue: str = Field(description="What stands there.")


class InteractionResult(Shown):
    """What there is between two proteins."""

    length_a: int = Field(description="Residues of A.")
    length_b: int = Field(description="Residues of B.")
    highest_probability: float = Field(description="Of all contacts between the two.")
    best: TouchingResidue = Field(description="The most probable contact, from A.")
    contacts: list[tuple[int, int, float]] = Field(
        description=f"Residue of A, residue of B, both from 1, and probability: those that reach the threshold, the "
        f"most probable first, {MAX_CONTACTS:,} at most."
    )
    interface: list[TouchingResidue] = Field(
        description="Residues of A, then of B, with a contact that reaches the threshold."
    )
    contacts_ab: Matrix | None = Field(None, description="With params.maps: residues of A x residues of B.")


@cache
def _request(bounds: Bounds) -> type[BaseModel]:
    return request_type("Interactions", bounds, InteractionParams, Pair)


def _cost(asked: Any, bounds: Bounds) -> Cost:
    linker, items = asked.params.linker, asked.items
    checked_residues(items, asked.params, bounds)
    lengths = [len(item.a) + linker + len(item.b) for item in items]
    issues = [
        Issue(("items", number), f"{length} residues with linker, at most {bounds.max_residues} are allowed", "pair")
        for number, length in enumerate(lengths)
        if length > bounds.max_residues
    ]
    if issues:
        raise InvalidRequestError(issues)
    return Cost(2 * len(items), sum(lengths), sum(length**2 for length in lengths))


def _run(asked: Any, model: Model, resources: Resources) -> Sequence[Mapping[str, Any]]:
    asked_pairs = [_pair(number, item) for number, item in enumerate(asked.items)]
    answers = []
    for found in interactions.stream(model, asked_pairs, linker=asked.params.linker):
        assert isinstance(found, PairContacts)
        answers.append(_entry(found, asked.params))
    return answers


def _pair(number: int, item: Pair) -> pairs.Pair:
    """An item as the library takes it."""
    name = f"items__{number}"
    a, b = (Record(number, f"{name}__{field}", sequence) for field, sequence in item.sequences.items())
    return pairs.Pair(number, name, a, b)


def _entry(found: PairContacts, params: InteractionParams) -> dict[str, Any]:
    length_a, length_b = found.ab.shape
    return {
        "length_a": length_a,
        "length_b": length_b,
        "highest_probability": found.best.probability,
        "best": asdict(found.best),
        "contacts": _contacts(found.ab, params.threshold),
        "interface": [asdict(residue) for residue in found.interface(params.threshold)],
        **({"contacts_ab": np.ascontiguousarray(found.ab)} if params.maps else {}),
    }


def _contacts(probabilities_AB: FloatArray, threshold: float) -> list[tuple[int, int, float]]:
    """The most probable contacts, positions from 1."""
    order = np.argsort(-probabilities_AB, axis=None, kind="stable")[:MAX_CONTACTS]
    at_a, at_b = np.unravel_index(order, probabilities_AB.shape)
    found = zip((at_a + 1).tolist(), (at_b + 1).tolist(), probabilities_AB[at_a, at_b].tolist(), strict=True)
    return [contact for contact in found if contact[2] >= threshold]


ACTION = Action(
    name="interactions",
    title="contacts between two proteins",
    description="Both proteins go through the model as one sequence, joined with glycines. The model was trained on "
    "single chains, so this asks it to take two for one.",
    request=_request,
    answer=answer_type(InteractionResult),
    cost=_cost,
    run=_run,
    body={"items": [{"a": "MKT", "b": "GSH"}], "params": {"maps": True}},
    result={
        "length_a": 3,
        "length_b": 3,
        "highest_probability": 0.06,
        "best": {
            "chain": "A",
            "position": 2,
            "residue": "K",
            "probability": 0.06,
            "partner_position": 1,
            "partner_residue": "G",
        },
        "contacts": [],
        "interface": [],
        "contacts_ab": [[0.03, 0.02, 0.02], [0.06, 0.03, 0.02], [0.04, 0.03, 0.02]],
    },
)
