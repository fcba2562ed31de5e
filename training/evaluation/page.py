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
    parts = (_perplexity, _mutations, _contacts, _retrieval)
    return "\n\n".join([_model(report), *(part(report[part.__name__.strip("_")]) for part in parts)])


def _model(report: dict[str, Any]) -> str:
    about = report["model"]
    return (
        f"Weights `{about['weights_sha256'][:12]}`: {about['layers']} layers, width {about['width']}, {about['heads']} heads, "
        f"{about['parameters']:,} parameters. Measured on {report['date']} with esmkit {about['esmkit']}."
    )


def _perplexity(result: dict[str, Any]) -> str:
    names = {
        "unigram": "unigram: how frequent each residue is",
        "bigram": "bigram: the residue before",
        "markov": f"interpolated Markov model: the {result['order']} residues before",
        "model": "**esm2-mini**",
    }
    rows = [(title, f"{result[n]['perplexity']:.2f}", f"{result[n]['accuracy']:.1%}") for n, title in names.items()]
    return (
        f"**Hidden residues** of {result['proteins']:,} proteins without relatives in the training data (15 % of the residues, "
        f"{result['hidden_residues']:,}, all behind `<mask>`); all rows learnt from `train.fasta.zst` or more:\n\n"
    ) + _table(("", "perplexity", "first guess right"), rows)


def _mutations(results: list[dict[str, Any]]) -> str:
    rows = [
        (each["assay"], f"{each['variants']:,}", f"{each['blosum62']:.3f}", f"**{each['model']:.3f}**") for each in results
    ]
    return "**Effects of mutations**, Spearman's rank correlation of masked-marginal scores:\n\n" + _table(
        ("measured", "variants", "BLOSUM62", "esm2-mini"), rows
    )


def _contacts(result: dict[str, Any]) -> str:
    ranges = {"all": "6 or more positions apart", "long": "24 or more positions apart"}
    rows = []
    for name, title in ranges.items():
        precision = result["precision"][name]
        rows.append((title, *(f"{precision[column]:.3f}" for column in ("chance", "L", "L/5"))))
    return (
        f"**Contacts** of {result['structures']} structures in folds that the contact head was not fitted to, share of the "
        "most probable pairs that touch (C-beta atoms within 8 Å):\n\n"
    ) + _table(("pairs", "chance", "top L", "top L/5"), rows)


def _retrieval(result: dict[str, Any]) -> str:
    row = (f"{result['composition']:.1%}", f"**{result['model']:.1%}**")
    return (
        f"**Families**: for {result['queries']:,} proteins, is the nearest of {result['lookups']:,} others by cosine of the "
        "same CATH superfamily?\n\n"
    ) + _table(("", "amino-acid composition", "mean embedding of esm2-mini"), [("yes", *row)])


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    align = ["---"] + ["---:"] * (len(head) - 1)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, align, *rows))
