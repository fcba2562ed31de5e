"""The tables of an evaluation as Markdown, put between two marks in a page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

BEGIN = "<!-- written by training/evaluate.py: begin -->"
END = "<!-- written by training/evaluate.py: end -->"


def write(report: dict[str, Any], path: Path) -> None:
    """Replaces what stands between the marks.

    Raises:
        ValueError: the page has no marks.
    """
    before, begin, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{path} has no place for the tables: two lines, {BEGIN} and {END}")
    path.write_text(f"{before}{BEGIN}\n\n{tables(report)}\n\n{END}{after}", encoding="utf-8")


def tables(report: dict[str, Any]) -> str:
    """All tables."""
    slug = report["model"]["slug"]
    return "\n\n".join(
        [
            _model(report["model"], report["date"]),
            _perplexity(report["perplexity"], slug),
            _mutations(report["mutations"], slug),
            _contacts(report["contacts"]),
            _retrieval(report["retrieval"], slug),
        ]
    )


def _model(about: dict[str, Any], date: str) -> str:
    shape = f"{about['layers']} layers, width {about['width']}, {about['heads']} heads"
    trained = f", trained on {about['tokens'] / 1e6:,.0f} M tokens" if about.get("tokens") else ""
    return (
        f"Weights `{about['weights_sha256'][:12]}`: {shape}, {about['parameters']:,} parameters{trained}. "
        f"Measured on {date} with esmkit {about['esmkit']}."
    )


def _perplexity(result: dict[str, Any], slug: str) -> str:
    names = {
        "unigram": "unigram: how frequent each residue is",
        "bigram": "bigram: the residue before",
        "markov": f"interpolated Markov model: the {result['order']} residues before",
        "model": f"**{slug}**: all residues that are not hidden",
    }
    rows = [(title, f"{result[n]['perplexity']:.2f}", f"{result[n]['accuracy']:.1%}") for n, title in names.items()]
    return (
        f"**Hidden residues**: 15 % ({result['hidden_residues']:,}) of {result['proteins']:,} proteins that have no "
        "relatives in the training data, all behind `<mask>`. The other models were counted on `train.fasta.zst`; they "
        "see the residues before each hidden one, hidden themselves or not.\n\n"
    ) + _table(("", "perplexity", "first guess right"), rows)


def _mutations(results: list[dict[str, Any]], slug: str) -> str:
    rows = [(r["assay"], f"{r['variants']:,}", f"{r['blosum62']:.3f}", f"{r['model']:.3f}") for r in results]
    return (
        "**Effects of mutations**: Spearman's rank correlation of masked-marginal scores. BLOSUM62 is the better of "
        "two: its value for the new residue, or that less its value for the old one.\n\n"
    ) + _table(("measured", "variants", "BLOSUM62", slug), rows)


def _contacts(result: dict[str, Any]) -> str:
    ranges = {"all": "6 or more positions apart", "long": "24 or more positions apart"}
    rows = [
        (title, *(f"{result['precision'][name][column]:.3f}" for column in ("chance", "L", "L/5")))
        for name, title in ranges.items()
    ]
    return (
        f"**Contacts** of {result['structures']} structures whose topology the contact head was not fitted to: share "
        "of the most probable pairs that touch (C-beta atoms within 8 Å).\n\n"
    ) + _table(("pairs", "chance", "top L", "top L/5"), rows)


def _retrieval(result: dict[str, Any], slug: str) -> str:
    row = ("yes", f"{result['composition']:.1%}", f"{result['model']:.1%}")
    return (
        f"**Families**: of {result['queries']:,} proteins, is the nearest of {result['lookups']:,} others (cosine) of "
        "the same CATH superfamily?\n\n"
    ) + _table(("", "amino-acid composition", f"mean embedding of {slug}"), [row])


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    align = ["---"] + ["---:"] * (len(head) - 1)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, align, *rows))
