"""`compare`: two proteins, residue by residue."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from esmkit.agent.text import MARK
from esmkit.agent.tools.base import Answer, Arguments, Session, Tool
from esmkit.agent.tools.calling import called
from esmkit.agent.tools.fields import Model, Protein

_STRETCHES = 20


class Compare(Arguments):
    """Two proteins."""

    a: Annotated[Protein, Field(description="The first protein.")]
    b: Annotated[Protein, Field(description="The second protein.")]
    mode: Annotated[
        Literal["local", "global"], Field(description="Align the stretches that are alike, or all of both.")
    ] = "local"
    shuffles: Annotated[
        int,
        Field(
            ge=0,
            le=100,
            description="Shuffled versions of b that tell what score is chance: 0 for none, 10 on for a sound z_score.",
        ),
    ] = 20
    model: Model = None


async def _compare(asked: Compare, session: Session) -> Answer:
    item = {"a": asked.a.sequence, "b": asked.b.sequence}
    answer = await called(session, asked.model, "compare", [item], {"mode": asked.mode, "shuffles": asked.shuffles})
    found = answer.results[0]
    numbers = ("score", "z_score", "aligned_pairs", "identity", "mean_cosine", "mean_similarity")
    stretches = sorted(found["stretches"], key=lambda each: -(each["end_a"] - each["start_a"]))
    kept = {
        "kind": "alignment",
        "pairs": np.array(found["pairs"], dtype=np.int32).reshape(-1, 2),
        "stretches": found["stretches"],
        "made_by": answer.made_by,
    }
    content: dict[str, Any] = {
        "a": {"name": asked.a.name or "a", "residues": len(asked.a.sequence)},
        "b": {"name": asked.b.name or "b", "residues": len(asked.b.sequence)},
        **{name: _rounded(found[name]) for name in numbers},
        "longest_conserved_stretches": [
            {name: _rounded(value) for name, value in each.items()} for each in stretches[:_STRETCHES]
        ],
        "conserved_stretches": len(stretches),
        "handle": session.results.put(session.owner, kept),
        "method": f"{asked.mode} alignment by the representations of the model's last layer, without a substitution "
        f"matrix; z_score against {asked.shuffles} shuffled versions of b",
        "reading": "Positions from 1. z_score: standard deviations above chance, some 5 and more is a clear relation. "
        "identity: share of aligned pairs with one and the same residue, 0 to 1. similarity: standard deviations above "
        "what is usual for two residues of these proteins.",
        "note": MARK,
        "made_by": answer.made_by,
    }
    return Answer(content)


def _rounded(value: Any) -> Any:
    return round(value, 4) if isinstance(value, float) else value


COMPARE = Tool(
    name="compare",
    title="Compare two proteins",
    description="Aligns two proteins through an ESM-2 model's representations: which stretches correspond (positions "
    "from 1), how alike they are, and whether that is more than chance (z_score). Works for distant relatives with "
    "little sequence identity. For more than two proteins, or only one number, use similarity.",
    arguments=Compare,
    run=_compare,
)
