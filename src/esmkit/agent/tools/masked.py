"""`masked_prediction`: which residues a model expects at masked places."""

from __future__ import annotations

import re
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from esmkit import alphabet
from esmkit.agent.errors import ToolError
from esmkit.agent.tools.base import Answer, Arguments, Session, Tool
from esmkit.agent.tools.calling import called
from esmkit.agent.tools.fields import Model, Sequence

MOST_MASKS = 50
_PARTS = re.compile(f"{alphabet.MASK}|.", re.DOTALL)


class MaskedPrediction(Arguments):
    """A sequence with masks, or positions to mask."""

    sequence: Annotated[
        Sequence,
        Field(
            description="Amino acids in one-letter code; write <mask> for each residue to predict, or give positions.",
            examples=["MKTAY<mask>AKQR"],
        ),
    ]
    positions: list[Annotated[int, Field(ge=1)]] = Field(
        default_factory=list,
        max_length=MOST_MASKS,
        description="Places from 1 to mask, all at once, beside those already masked.",
    )
    most: Annotated[int, Field(ge=1, le=20, description="Residues to list per place, the most probable first.")] = 5
    model: Model = None


async def _predict(asked: MaskedPrediction, session: Session) -> Answer:
    parts = _PARTS.findall(asked.sequence)
    if beyond := [position for position in asked.positions if position > len(parts)]:
        raise ToolError(f"positions: {beyond[0]} is behind the end, the sequence has {len(parts)} residues")
    masked = [each - 1 for each in sorted({*asked.positions, *_masks(parts)})]
    if not 1 <= len(masked) <= MOST_MASKS:
        raise ToolError(f"{len(masked)} residues are masked, 1 to {MOST_MASKS} can be; write <mask> or give positions")
    hidden = "".join(alphabet.MASK if at in set(masked) else part for at, part in enumerate(parts))
    answer = await called(session, asked.model, "predict", [{"sequence": hidden}])
    logits_LV = np.array(answer.results[0]["logits"], dtype=np.float64)[masked]
    residues: list[str] = answer.results[0]["vocab_tokens"]
    shifted = np.exp(logits_LV - logits_LV.max(axis=1, keepdims=True))
    probabilities_LV = shifted / shifted.sum(axis=1, keepdims=True)
    places = [
        _place(at, parts[at], line, residues, asked.most) for at, line in zip(masked, probabilities_LV, strict=True)
    ]
    content: dict[str, Any] = {
        "residues": len(parts),
        "masked": places,
        "method": "all places are masked at once, one pass; probabilities among the 20 amino acids; entropy 0 bits is "
        "certainty, 4.32 bits is indifference",
        "made_by": answer.made_by,
    }
    return Answer(content)


def _masks(parts: list[str]) -> list[int]:
    return [position for position, part in enumerate(parts, 1) if part == alphabet.MASK]


def _place(at: int, given: str, line: np.ndarray[Any, Any], residues: list[str], most: int) -> dict[str, Any]:
    order = np.argsort(-line, kind="stable")
    place: dict[str, Any] = {
        "position": at + 1,
        "expected": {residues[each]: round(float(line[each]), 4) for each in order[:most]},
        "entropy_bits": round(float(-(line * np.log2(np.maximum(line, 1e-300))).sum()), 3),
    }
    if given in residues:
        place |= {"given": given, "probability_of_given": round(float(line[residues.index(given)]), 4)}
    return place


MASKED_PREDICTION = Tool(
    name="masked_prediction",
    title="Masked residues",
    description="Which amino acids an ESM-2 model expects at masked places of a protein, with probabilities (0 to 1) "
    "and the entropy in bits. Mask with <mask> in the sequence or by positions from 1; at most 50. Use it for 'what "
    "fits here?'. For the effect of given substitutions use score_mutations.",
    arguments=MaskedPrediction,
    run=_predict,
)
