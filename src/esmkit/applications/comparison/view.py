"""A comparison as text of 80 columns, as rows of a table, and as plain data."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from esmkit.alphabet import MASK, residues
from esmkit.applications.comparison.comparison import Comparison

COLUMNS = ("position_a", "residue_a", "position_b", "residue_b", "cosine", "similarity", "conserved")
PER_LINE = 50
_NAME = 14
_MARKS = ((2.5, ":"), (1.0, "."))
"""Similarity in standard deviations, from the highest, and its mark; an identical pair has |."""


def rows(found: Comparison) -> Iterator[tuple[int, str, int, str, float, float, int]]:
    """One row per aligned pair: what `COLUMNS` names; conserved is the number of the stretch, 0 outside."""
    first, second = residues(found.a.sequence), residues(found.b.sequence)
    pairs, cosines, similarities = found.alignment.pairs, found.pair_cosines, found.pair_similarity
    for (a, b), cosine, similarity in zip(pairs.tolist(), cosines.tolist(), similarities.tolist(), strict=True):
        inside = (number for number, each in enumerate(found.stretches, start=1) if each.start_a <= a + 1 <= each.end_a)
        yield a + 1, first[a], b + 1, second[b], cosine, similarity, next(inside, 0)


def facts(found: Comparison) -> dict[str, Any]:
    """Everything but the matrices, as plain data."""
    pairs, significance = found.alignment.pairs, found.significance
    count = len(pairs)
    return {
        "a": {"id": found.a.id, "length": found.cosines.shape[0]},
        "b": {"id": found.b.id, "length": found.cosines.shape[1]},
        "model": found.model,
        "settings": dataclasses.asdict(found.settings),
        "score": found.alignment.score,
        "z_score": None if significance is None else significance.z_score,
        "shuffled_scores": None if significance is None else list(significance.scores),
        "aligned_pairs": count,
        "identity": found.identity,
        "mean_cosine": float(found.pair_cosines.mean()) if count else None,
        "mean_similarity": float(found.pair_similarity.mean()) if count else None,
        "stretches": [dataclasses.asdict(stretch) for stretch in found.stretches],
        "pairs": (pairs + 1).tolist(),
    }


def text(found: Comparison) -> Iterator[str]:
    """Lines for people: what was found, conserved stretches, the alignment."""
    yield from _summary(found)
    if found.stretches:
        yield ""
        yield f"conserved   {found.a.id[:20]:>20}   {found.b.id[:20]:>20}   similarity   identity"
        for number, each in enumerate(found.stretches, start=1):
            in_a, in_b = f"{each.start_a}-{each.end_a}", f"{each.start_b}-{each.end_b}"
            yield f"{number:>9}   {in_a:>20}   {in_b:>20}   {each.similarity:>10.2f}   {each.identity:>8.0%}"
    if len(found.alignment.pairs):
        yield from _alignment(found)


def _summary(found: Comparison) -> Iterator[str]:
    (length_a, length_b), pairs = found.cosines.shape, found.alignment.pairs
    yield f"A {found.a.id[:60]}, {length_a} residues"
    yield f"B {found.b.id[:60]}, {length_b} residues"
    if not len(pairs):
        yield "nothing in the two is similar enough to be aligned"
        return
    (from_a, from_b), (to_a, to_b) = (pairs[0] + 1).tolist(), (pairs[-1] + 1).tolist()
    yield f"{len(pairs)} pairs aligned, {from_a}-{to_a} with {from_b}-{to_b}, {found.identity:.0%} identical"
    yield (
        f"similarity {found.pair_similarity.mean():.2f} standard deviations, cosine {found.pair_cosines.mean():.3f} "
        "on average"
    )
    significance = found.significance
    compared = ""
    if significance is not None:
        shown = "the same" if significance.z_score is None else f"z = {significance.z_score:.1f}"
        compared = f", {shown} against {len(significance.scores)} shuffles of B"
    yield f"score {found.alignment.score:.1f}{compared}"


def _alignment(found: Comparison) -> Iterator[str]:
    """Blocks of three lines: A, marks, B."""
    names = [f"{record.id[:_NAME]:<{_NAME}}" for record in (found.a, found.b)]
    columns = list(_columns(found))
    next_a, next_b = (found.alignment.pairs[0] + 1).tolist()
    for start in range(0, len(columns), PER_LINE):
        line_a, marks, line_b = ("".join(letters) for letters in zip(*columns[start : start + PER_LINE], strict=True))
        after_a, after_b = (at + len(line) - line.count("-") for at, line in ((next_a, line_a), (next_b, line_b)))
        yield ""
        yield f"{names[0]} {next_a:>5} {line_a} {after_a - 1}"
        yield f"{' ' * (_NAME + 6)} {marks}".rstrip()
        yield f"{names[1]} {next_b:>5} {line_b} {after_b - 1}"
        next_a, next_b = after_a, after_b


def _columns(found: Comparison) -> Iterator[tuple[str, str, str]]:
    """Letter of A, mark, letter of B for every column of the alignment, gaps included."""
    first, second = (
        ["?" if letter == MASK else letter for letter in residues(record.sequence)] for record in (found.a, found.b)
    )
    next_a, next_b = found.alignment.pairs[0].tolist()
    for (a, b), similarity in zip(found.alignment.pairs.tolist(), found.pair_similarity.tolist(), strict=True):
        yield from ((letter, " ", "-") for letter in first[next_a:a])
        yield from (("-", " ", letter) for letter in second[next_b:b])
        mark = next((mark for bound, mark in _MARKS if similarity >= bound), " ")
        yield first[a], "|" if first[a] == second[b] else mark, second[b]
        next_a, next_b = a + 1, b + 1
