"""`design_proposals`: variants to make next."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from esmkit.agent.text import MARK
from esmkit.agent.tools.base import Answer, Arguments, Session, Tool
from esmkit.agent.tools.calling import called
from esmkit.agent.tools.fields import Model, Name, Offset, Sequence
from esmkit.applications.mutations.variants import AMINO_ACIDS

Positions = Annotated[list[int], Field(max_length=4096)]


class DesignProposals(Arguments):
    """A parent, what may change, and how many proposals are wanted."""

    sequence: Annotated[Sequence, Field(description="The parent: the 20 amino acids, residue 1 first.")]
    positions: Annotated[
        Positions | None, Field(min_length=1, description="That may change, from 1 plus offset; all by default.")
    ] = None
    fixed: Positions = Field(default_factory=list, description="That must not change, such as an active site.")
    allowed: Annotated[
        str,
        Field(min_length=1, max_length=20, pattern=f"^[{AMINO_ACIDS}]+$", description="Residues that may be put in."),
    ] = AMINO_ACIDS
    fewest: Annotated[int, Field(ge=1, le=10, description="Mutations of a proposal, at least.")] = 1
    most: Annotated[int, Field(ge=1, le=10, description="Mutations of a proposal, at most.")] = 3
    proposals: Annotated[int, Field(ge=1, le=50, description="How many are wanted.")] = 10
    min_distance: Annotated[
        int, Field(ge=1, le=20, description="Positions at which any two proposals differ, at least.")
    ] = 1
    strategy: Annotated[
        Literal["greedy", "beam", "gibbs", "anneal"],
        Field(description="How to search: beam is usual, greedy quickest, gibbs and anneal more varied."),
    ] = "beam"
    predictor: Annotated[
        str | None,
        Field(max_length=200, description="A predictor of the server to maximise instead of the likelihood."),
    ] = None
    predictor_class: Annotated[
        str | None, Field(max_length=200, description="Of a predictor of classes: the one that is wanted.")
    ] = None
    offset: Offset = 0
    seed: Annotated[int, Field(ge=0, le=2**32 - 1, description="Of everything random.")] = 0
    name: Name = None
    model: Model = None


_ITEM = ("positions", "fixed", "allowed", "fewest", "most", "offset")
_PARAMS = ("proposals", "min_distance", "strategy", "predictor", "predictor_class", "seed")


async def _design(asked: DesignProposals, session: Session) -> Answer:
    given = asked.model_dump(exclude_none=True)
    item = {"sequence": asked.sequence, **{name: given[name] for name in _ITEM if name in given}}
    params = {name: given[name] for name in _PARAMS if name in given}
    answer = await called(session, asked.model, "design", [item], params)
    found = answer.results[0]["proposals"]
    kept = {"kind": "proposals", "proposals": found, "made_by": answer.made_by}
    proposals = [
        {
            "mutant": each["mutant"],
            "objective": round(each["objective"], 4),
            "loses_without": {name: round(value, 4) for name, value in each["effects"].items()},
            "positions_apart_from_the_nearest_better_one": each["nearest"],
        }
        for each in found
    ]
    wanted = "the likelihood of ESM-2 (masked marginals, natural logarithm)"
    content: dict[str, Any] = {
        "parent": {"name": asked.name or "protein", "residues": len(asked.sequence)},
        "proposals": proposals,
        "handle": session.results.put(session.owner, kept),
        "method": f"{asked.strategy} search; objective: {wanted if asked.predictor is None else 'the predictor'}; the "
        "parent has 0, higher is better",
        "limits": "Proposals to test in the laboratory, not results: the model knows which sequences are natural, not "
        "what your assay measures. The handle has the whole sequences.",
        "note": MARK,
        "made_by": answer.made_by,
    }
    if len(proposals) < asked.proposals:
        content["fewer"] = f"{asked.proposals} were asked for; no others that were found are far enough apart"
    return Answer(content)


DESIGN_PROPOSALS = Tool(
    name="design_proposals",
    title="Propose variants",
    description="Variants of a protein with one or more mutations that an ESM-2 model (or a predictor of the server) "
    "likes best, within constraints: which positions (from 1, plus offset) and residues may change, how many "
    "mutations, how different the proposals must be. Use it for 'what should I make next?'; for all single "
    "substitutions use mutational_scan_summary.",
    arguments=DesignProposals,
    run=_design,
)
