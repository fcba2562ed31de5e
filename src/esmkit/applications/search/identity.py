"""Sequence identity of two proteins from an alignment (parasail, Daily 2016, doi:10.1186/s12859-016-0930-z)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from esmkit.errors import demand_module

GAP_OPEN, GAP_EXTEND = 11, 1
"""Cost of the first residue of a gap, and of each further one."""
_UNKNOWN = re.compile(r"<mask>|[^ARNDCQEGHILKMFPSTWYVBZ]")


@dataclass(frozen=True, slots=True)
class Alignment:
    """How alike two sequences are where they are aligned.

    Attributes:
        identity: identical pairs / columns from the first aligned pair to the last, gaps between them counted.
        aligned: pairs of residues.
        coverage: residues of the query in pairs / residues of the query.
    """

    identity: float
    aligned: int
    coverage: float


def demand_parasail() -> None:
    """Finds out before the work whether alignments can be made.

    Raises:
        MissingExtraError: parasail is not installed.
    """
    demand_module("parasail", reason="sequence identities need parasail", extra="search")


def align(query: str, hit: str) -> Alignment:
    """Aligns two sequences with BLOSUM62 as wholes, ends free of cost.

    Example:
        >>> align("MKTAYIAKQR", "GGMKTAYIAKQR")
        Alignment(identity=1.0, aligned=10, coverage=1.0)
    """
    import parasail

    query, hit = (_UNKNOWN.sub("X", sequence) for sequence in (query, hit))
    trace = parasail.sg_trace_striped_32(query, hit, GAP_OPEN, GAP_EXTEND, parasail.blosum62).traceback
    columns = list(zip(trace.query, trace.ref, strict=True))
    pairs = [at for at, (a, b) in enumerate(columns) if "-" not in (a, b)]
    if not pairs:
        return Alignment(0.0, 0, 0.0)
    identical = sum(columns[at][0] == columns[at][1] != "X" for at in pairs)
    return Alignment(identical / (pairs[-1] - pairs[0] + 1), len(pairs), len(pairs) / len(query))
