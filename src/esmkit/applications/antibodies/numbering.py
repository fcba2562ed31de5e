"""Framework and CDR regions by IMGT numbering, which the package ANARCII finds out (doi:10.1101/2025.04.16.648720)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

import torch

from esmkit.alphabet import STANDARD
from esmkit.applications.antibodies.regions import REGIONS, Region
from esmkit.errors import InvalidRecordError, InvalidSequenceError, demand_module
from esmkit.types import Record

LAST_POSITIONS = (26, 38, 55, 65, 104, 117, 128)
"""IMGT positions at which the regions end, in their order (Lefranc et al. 2003, doi:10.1016/S0145-305X(02)00039-3)."""
_GAP = "-"


def number_regions(records: Sequence[Record]) -> list[Region]:
    """The regions of the variable domain of each chain; positions are 1-based places in the chain as it was given.

    Args:
        records: heavy or light chains with unlike ids, of the 20 amino acids; what is before or behind the variable
            domain, such as a signal peptide or a constant domain, belongs to no region.

    Raises:
        MissingExtraError: ANARCII is not installed.
        InvalidRecordError: a chain has no variable domain of an antibody, or two have one id.
        InvalidSequenceError: a residue is none of the 20 amino acids.
    """
    demand_module(
        "anarcii",
        reason="framework and CDR regions are found by ANARCII; a table of regions from another tool does as well",
        extra="antibody",
    )
    from anarcii import Anarcii

    chains = _checked(records)
    threads = torch.get_num_threads()
    try:
        # It sets the threads of the process; with more chains than max_seqs_len it would write files.
        tool = Anarcii(seq_type="antibody", mode="accuracy", cpu=True, ncpu=-1, max_seqs_len=len(chains) + 1)
        found = tool.number(chains)
    finally:
        torch.set_num_threads(threads)
    return [region for record in records for region in _regions(record, found[record.id])]


def _checked(records: Iterable[Record]) -> dict[str, str]:
    chains: dict[str, str] = {}
    for record in records:
        if record.id in chains:
            raise InvalidRecordError(
                f"two chains have the id {record.id!r}; give every chain an id of its own", record_id=record.id
            )
        index = next((index for index, residue in enumerate(record.sequence) if residue not in STANDARD), None)
        if index is not None:
            raise InvalidSequenceError(
                f"chain {record.id!r}, position {index + 1}: found {record.sequence[index]!r}; only chains of the 20 "
                "amino acids are numbered",
                record_id=record.id,
                position=index + 1,
                residue=record.sequence[index],
            )
        chains[record.id] = record.sequence
    return chains


def _regions(record: Record, found: dict[str, Any]) -> list[Region]:
    """From a numbering: ((position, insertion), residue), with gaps, from the residue at `query_start` on."""
    if found["error"] is not None or not found["numbering"]:
        raise InvalidRecordError(
            f"chain {record.id!r} has no variable domain of an antibody that ANARCII could number "
            f"({found['error']}); remove it",
            record_id=record.id,
        )
    residues = [(position, residue) for (position, _), residue in found["numbering"] if residue != _GAP]
    start = int(found["query_start"])
    assert record.sequence[start : start + len(residues)] == "".join(residue for _, residue in residues)
    places = [next(n for n, last in enumerate(LAST_POSITIONS) if position <= last) for position, _ in residues]
    regions, at = [], start
    for number, members in groupby(places):
        size = len(list(members))
        regions.append(Region(record.id, at + 1, at + size, REGIONS[number]))
        at += size
    return regions
