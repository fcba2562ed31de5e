"""Does search by embedding find relatives? Every query domain of CATH against all lookup domains.

usage: python examples/search_cath.py DOMAINS.csv [MODEL] [FOLDER]

DOMAINS.csv has the columns domain, cath_superfamily, role (query or lookup) and sequence. Printed are the share of
queries whose nearest domain is of their superfamily, beside that of amino-acid composition, and what `annotate` makes
of them. The index is kept in FOLDER; a second run uses it.
"""

import csv
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

import esmkit
from esmkit.alphabet import STANDARD
from esmkit.applications.search import NEIGHBOURS, UNKNOWN, Annotator, Index, Metadata, Sequences, Space, build
from esmkit.types import Record

LABEL = "superfamily"
Rows = list[dict[str, str]]


def records(rows: Rows) -> Callable[[], Iterator[Record]]:
    """The rows as the library wants them."""
    return lambda: (
        Record(at, row["domain"], row["sequence"], cells=(row["cath_superfamily"],)) for at, row in enumerate(rows)
    )


def composition(rows: Rows) -> np.ndarray:
    """Share of each of the 20 amino acids, [n, 20]."""
    return np.array([[row["sequence"].count(one) / len(row["sequence"]) for one in STANDARD] for row in rows])


def recall_at_1(queries: np.ndarray, lookups: np.ndarray, true: np.ndarray, known: np.ndarray) -> float:
    """Share of queries whose nearest lookup, by cosine, has their label."""
    cosines = (queries @ lookups.T) / np.linalg.norm(lookups, axis=1)
    return float((known[cosines.argmax(1)] == true).mean())


def main() -> None:
    """Builds, searches, annotates, prints."""
    source, name = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "esm2-mini"
    folder = Path(sys.argv[3] if len(sys.argv) > 3 else tempfile.mkdtemp())
    rows = list(csv.DictReader(Path(source).read_text().splitlines()))
    queries = [row for row in rows if row["role"] == "query"]
    lookups = [row for row in rows if row["role"] == "lookup"]
    true = np.array([row["cath_superfamily"] for row in queries])
    known = np.array([row["cath_superfamily"] for row in lookups])

    model = esmkit.load(name)
    build(folder, Sequences(model, records(lookups), Space.of(model)), columns=[Metadata(LABEL, "text")])
    index = Index.open(folder)
    vectors = model.embed([row["sequence"] for row in queries])
    hits = index.search(vectors, k=10)
    found = [[hit.about[LABEL] for hit in near] for near in hits]
    print(f"{len(queries)} queries, {len(lookups)} lookups of {len(set(known))} superfamilies")
    print("the nearest is of the superfamily of the query:")
    print(f"  by embedding    {np.mean([near[0] == own for near, own in zip(found, true, strict=True)]):.3f}")
    print(f"  by composition  {recall_at_1(composition(queries), composition(lookups), true, known):.3f}")
    print("one of the 10 nearest is:")
    print(f"  by embedding    {np.mean([own in near for near, own in zip(found, true, strict=True)]):.3f}")
    show_annotations(index, vectors, true)


def show_annotations(index: Index, vectors: np.ndarray, true: np.ndarray) -> None:
    """How many labels are right, and whether reliabilities come true."""
    annotator = Annotator.of(index, LABEL)
    found = list(annotator.annotate(vectors))
    right = np.array([each.best == own for each, own in zip(found, true, strict=True)])
    claimed = np.array([each.reliability for each in found])
    given = claimed >= annotator.min_reliability
    groups = annotator.calibration.groups
    share = sum(group.correct for group in groups) / sum(group.proteins for group in groups)
    print(f"annotated by {NEIGHBOURS} neighbours: {right.mean():.3f} right; lookups by the others: {share:.3f} right")
    print("reliability    queries  claimed  right")
    for low, high in ((0, 0.25), (0.25, 0.5), (0.5, 0.75), (0.75, 1)):
        if (members := (claimed >= low) & (claimed < high)).any():
            shares = f"{claimed[members].mean():>7.2f} {right[members].mean():>6.2f}"
            print(f"{low:.2f} to {high:.2f} {members.sum():>9} {shares:>16}")
    if given.any():
        print(f"{given.sum()} get a label rather than {UNKNOWN!r}, and {right[given].mean():.3f} of these are right")


if __name__ == "__main__":
    main()
