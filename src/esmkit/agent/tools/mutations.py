"""`score_mutations` and `mutational_scan_summary`: what a model thinks of changes to a protein."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from esmkit.agent import pictures
from esmkit.agent.text import MARK, quoted
from esmkit.agent.tools.base import Answer, Arguments, Session, Tool
from esmkit.agent.tools.calling import called
from esmkit.agent.tools.fields import Model, Name, Offset, Sequence
from esmkit.alphabet import STANDARD
from esmkit.applications.mutations import MethodName, PositionSummary, Scan

MOST_VARIANTS = 1000
_LISTED = 100
_SIGN = (
    "score = log p(variant) - log p(wild type), natural logarithm: 0 is the wild type, negative is less likely to the "
    "model, positive more"
)
_LIMITS = (
    "The model knows which sequences evolution keeps. It does not know your assay: scores rank variants and are no "
    "free energies, activities or probabilities of disease."
)


class ScoreMutations(Arguments):
    """A wild type and variants of it."""

    sequence: Annotated[Sequence, Field(description="The wild type: the 20 amino acids, residue 1 first.")]
    variants: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=2000)]],
        Field(
            min_length=1,
            max_length=MOST_VARIANTS,
            description="A4G (A at position 4 becomes G), K2R:A4G (both), or whole sequences; with the last two "
            "methods also K2del, K2_A4del, K2_T3insRS and K2_A4delinsW.",
            examples=[["A4G", "K2R:A4G"]],
        ),
    ]
    method: Annotated[
        MethodName,
        Field(
            description="masked_marginal: usual, one mask per changed position. wt_marginal: one pass, quick. "
            "mutant_marginal, one_pass_pll, pseudo_log_likelihood: compute every variant, the last one slowly."
        ),
    ] = "masked_marginal"
    offset: Offset = 0
    name: Name = None
    model: Model = None


class MutationalScanSummary(Arguments):
    """A protein all of whose single substitutions are scored."""

    sequence: Annotated[Sequence, Field(description="The wild type: the 20 amino acids, residue 1 first.")]
    positions: Annotated[
        list[int] | None, Field(min_length=1, max_length=4096, description="Scan these positions only.")
    ] = None
    method: Annotated[
        Literal["masked_marginal", "wt_marginal"],
        Field(description="masked_marginal computes the protein once per position; wt_marginal once."),
    ] = "masked_marginal"
    offset: Offset = 0
    most: Annotated[int, Field(ge=1, le=50, description="Entries of each list.")] = 10
    picture: Annotated[bool, Field(description="Also draw the heat map.")] = True
    name: Name = None
    model: Model = None


async def _score(asked: ScoreMutations, session: Session) -> Answer:
    item = {"sequence": asked.sequence, "variants": asked.variants}
    params = {"method": asked.method, "offset": asked.offset}
    answer = await called(session, asked.model, "mutations", [item], params)
    variants = [quoted(each) for each in asked.variants]
    scores = answer.results[0]["scores"]
    order = sorted(range(len(scores)), key=lambda at: (-scores[at], at))
    ranked = [{"variant": variants[at], "score": round(scores[at], 4)} for at in order]
    content: dict[str, Any] = {
        "name": asked.name or "protein",
        "residues": len(asked.sequence),
        "variants": len(ranked),
        "ranked": ranked[:_LISTED],
        "method": asked.method,
        "sign": _SIGN,
        "limits": _LIMITS,
        "note": MARK,
        "made_by": answer.made_by,
    }
    if len(ranked) > _LISTED:
        kept = {"kind": "variants", "ranked": ranked, "made_by": answer.made_by}
        content |= {"not_listed": len(ranked) - _LISTED, "handle": session.results.put(session.owner, kept)}
    return Answer(content)


async def _scan(asked: MutationalScanSummary, session: Session) -> Answer:
    params: dict[str, Any] = {"method": asked.method, "offset": asked.offset}
    params |= {} if asked.positions is None else {"positions": asked.positions}
    answer = await called(session, asked.model, "mutations", [{"sequence": asked.sequence}], params)
    found, name = answer.results[0], asked.name or "protein"
    scan = Scan(
        sequence=asked.sequence,
        indices=np.array(found["positions"], dtype=np.int64) - 1 - asked.offset,
        scores=np.array(found["scores"], dtype=np.float64),
        method=asked.method,
        models=(answer.made_by.partition(",")[0],),
        offset=asked.offset,
    )
    picture, remark = await pictures.heat_map(scan, name) if asked.picture else (None, "not asked for")
    kept = {
        "kind": "scan",
        "positions": found["positions"],
        "wild_type": found["wild_type"],
        "order_of_residues": list(STANDARD),
        "scores": scan.scores.astype(np.float32),
        "made_by": answer.made_by,
    }
    content: dict[str, Any] = {
        "name": name,
        "residues": len(asked.sequence),
        **_summary(scan, asked.most),
        "picture": remark,
        "handle": session.results.put(session.owner, kept),
        "method": asked.method,
        "sign": _SIGN,
        "limits": _LIMITS,
        "note": MARK,
        "made_by": answer.made_by,
    }
    return Answer(content, picture)


def _summary(scan: Scan, most: int) -> dict[str, Any]:
    rows, columns = np.nonzero(np.array([[each != residue for each in STANDARD] for residue in scan.residues]))
    scores = scan.scores[rows, columns]
    order = np.argsort(-scores, kind="stable")

    def listed(chosen: Iterable[int]) -> list[dict[str, Any]]:
        return [
            {
                "substitution": f"{scan.residues[rows[at]]}{scan.positions[rows[at]]}{STANDARD[columns[at]]}",
                "score": round(float(scores[at]), 4),
            }
            for at in chosen
        ]

    places = sorted(scan.summary(), key=lambda each: each.mean_effect)
    return {
        "positions_scanned": len(scan.indices),
        "substitutions": len(scores),
        "better_than_wild_type": int((scores > 0).sum()),
        "mean_score": round(float(scores.mean()), 4),
        "best_substitutions": listed(order[:most]),
        "worst_substitutions": listed(order[::-1][:most]),
        "most_constrained_positions": [_position(each) for each in places[:most]],
        "most_tolerant_positions": [_position(each) for each in places[::-1][:most]],
    }


def _position(found: PositionSummary) -> dict[str, Any]:
    return {
        "position": f"{found.wild_type}{found.position}",
        "mean_score": round(found.mean_effect, 4),
        "probability_of_wild_type": round(found.probability, 4),
        "entropy_bits": round(found.entropy_bits, 3),
    }


SCORE_MUTATIONS = Tool(
    name="score_mutations",
    title="Score mutations",
    description="How an ESM-2 model scores given variants of a protein against its wild type, ranked best first: "
    "log-probability ratios (natural logarithm; 0 is the wild type, higher is better). Use it when the user names "
    "mutations, such as A4G or K2R:A4G (positions from 1, plus offset). For 'which mutations?' use "
    "mutational_scan_summary or design_proposals.",
    arguments=ScoreMutations,
    run=_score,
)
MUTATIONAL_SCAN_SUMMARY = Tool(
    name="mutational_scan_summary",
    title="Mutational scan",
    description="Scores all 19 substitutions at every position of a protein (deep mutational scan in silico), or at "
    "chosen positions. Gives the best and worst substitutions, the most constrained and most tolerant positions (from "
    "1, plus offset), a heat map if the server can draw, and a handle of all scores. Costs residues x positions: for a "
    "long protein scan the region of interest, or use wt_marginal.",
    arguments=MutationalScanSummary,
    run=_scan,
)
