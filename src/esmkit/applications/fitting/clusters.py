"""Proteins in clusters of relatives, so that nothing like a protein of the test part was learnt from.

MMseqs2 (Steinegger and Söding 2017, doi:10.1038/nbt.3988) does it where it is installed. Without it there is a simple
substitute: proteins that share enough k-mers are neighbours, and whoever is connected by neighbours is one cluster.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from esmkit.errors import InvalidConfigError
from esmkit.types import IntArray

IDENTITY, COVERAGE = 0.3, 0.8
"""For MMseqs2: least share of identical residues, over this share of both sequences."""
K, SHARE, LEAST = 5, 0.05, 5
"""For the substitute: neighbours have this share of the k-mers of the shorter one in common, LEAST at the least.

Of 4-mers unrelated proteins share enough to be linked into one cluster: of the 4,446 proteins of DeepLoc 4,442 were in
one. With these numbers the largest has 137, and of the pairs that MMseqs2 puts together 72 % are together here.
"""
AT_ONCE = 256
_LETTERS = 32


@dataclass(frozen=True, slots=True)
class Clusters:
    """Which proteins are relatives.

    Attributes:
        numbers: int64 [n], the cluster of each; equal sequences are always in one.
        method: how they were found, in words.
    """

    numbers: IntArray
    method: str


def cluster(sequences: Sequence[str]) -> Clusters:
    """Clusters of relatives by MMseqs2 if `mmseqs` is on the PATH, otherwise by k-mers.

    Raises:
        InvalidConfigError: mmseqs fails.

    Example:
        >>> by_kmers(["MKTAYIAKQR", "MKTAYIAKQW", "GSHMLEDPAA"]).tolist()
        [0, 0, 1]
    """
    distinct, places = np.unique(np.array(sequences, dtype=object), return_inverse=True)
    program = shutil.which("mmseqs")
    if program is not None:
        found, method = by_mmseqs(program, distinct.tolist()), f"MMseqs2, {IDENTITY:.0%} identity over {COVERAGE:.0%}"
    else:
        found = by_kmers(distinct.tolist())
        method = (
            f"shared {K}-mers, as mmseqs is not on the PATH: relatives with less than about half of their residues "
            "identical are missed"
        )
    return Clusters(found[places], method)


def by_mmseqs(program: str, sequences: Sequence[str]) -> IntArray:
    """Clusters by `mmseqs easy-cluster`, numbered from 0, int64 [n].

    Raises:
        InvalidConfigError: it fails; with what it said.
    """
    numbers = np.arange(len(sequences))
    options = ("--min-seq-id", str(IDENTITY), "-c", str(COVERAGE), "-v", "1")
    with tempfile.TemporaryDirectory(prefix="esmkit-clusters-") as name:
        folder = Path(name)
        fasta = "".join(f">{number}\n{sequence}\n" for number, sequence in enumerate(sequences))
        (folder / "sequences.fasta").write_text(fasta, encoding="ascii")
        command = [program, "easy-cluster", "sequences.fasta", "found", "work", *options]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)  # noqa: S603 (no shell)
        table = folder / "found_cluster.tsv"
        if done.returncode or not table.is_file():
            said = (done.stderr or done.stdout).strip()[-300:]
            raise InvalidConfigError(
                f"{program} ended with code {done.returncode}: {said or 'it said nothing'}; mend it, or take it from "
                "the PATH to cluster without it",
                setting="split",
            )
        for line in table.read_text(encoding="ascii").splitlines():
            representative, member = line.split("\t")
            numbers[int(member)] = int(representative)
    return np.unique(numbers, return_inverse=True)[1]


def by_kmers(sequences: Sequence[str]) -> IntArray:
    """Clusters by shared k-mers (single linkage), numbered from 0, int64 [n]."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    table = _kmers(sequences)
    sizes, count = np.diff(table.indptr), len(sequences)
    numbers = first = np.arange(count)
    for start in range(0, count, AT_ONCE):
        shared = (table[start : start + AT_ONCE] @ table.T).tocoo()
        rows, columns = start + shared.row, shared.col
        near = shared.data >= np.maximum(LEAST, SHARE * np.minimum(sizes[rows], sizes[columns]))
        ends = np.concatenate([rows[near], np.arange(count)]), np.concatenate([columns[near], first])
        edges = coo_array((np.ones(len(ends[0]), dtype=np.int8), ends), shape=(count, count))
        clusters, numbers = connected_components(edges, directed=False)
        first = np.unique(numbers, return_index=True)[1][numbers]
        if clusters == 1:  # such as variants of one protein: nothing is left to find
            break
    return np.unique(first, return_inverse=True)[1]


def _kmers(sequences: Sequence[str]) -> Any:
    """Which k-mers each sequence has: a sparse table of ones, int32 [n, kinds of k-mers]."""
    from scipy.sparse import csr_array

    powers = _LETTERS ** np.arange(K)
    found = []
    for sequence in sequences:
        letters = np.frombuffer(sequence.encode("ascii"), dtype=np.uint8).astype(np.int64) % _LETTERS
        windows = np.lib.stride_tricks.sliding_window_view(letters, K) if len(letters) >= K else np.empty((0, K), int)
        found.append(np.unique(windows @ powers))
    bounds = np.concatenate([[0], np.cumsum([len(each) for each in found])])
    kinds, columns = np.unique(np.concatenate(found), return_inverse=True)
    ones = np.ones(len(columns), dtype=np.int32)
    return csr_array((ones, columns, bounds), shape=(len(sequences), len(kinds)))
