"""Several chains in one sequence: joined with a glycine linker for the model, linkers cut out of what it gives."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from esmkit.alphabet import num_residues
from esmkit.errors import InvalidConfigError
from esmkit.types import Failure, IntArray, Record, Result

if TYPE_CHECKING:
    from esmkit.engine import Model
    from esmkit.outputs import Output

SEPARATOR = ":"
LINKER_RESIDUE = "G"
LINKER_LENGTH = 25
_RESIDUE_AXES = {"logits": (0,), "contacts": (0, 1), "attentions": (1,), "attention_maps": (2, 3)}
Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Chains:
    """Where the chains of one item lie in the sequence that is computed.

    Attributes:
        spans: 0-based half-open residues of each chain in the joined sequence.
        keep: int64, indices of the residues that belong to a chain.
    """

    spans: tuple[tuple[int, int], ...]
    keep: IntArray

    def positions(self) -> list[list[int]]:
        """First and last residue of each chain, 1-based, once the linkers are cut out."""
        ends = np.cumsum([stop - start for start, stop in self.spans]).tolist()
        return [[first + 1, last] for first, last in zip([0, *ends], ends, strict=False)]


@dataclass(frozen=True, slots=True)
class ChainedRecord(Record):
    """A record whose sequence is that of several chains.

    Attributes:
        chains: where they lie.
        shown: what else a row of results says about it, by column.
    """

    chains: Chains = field(kw_only=True)
    shown: Mapping[str, Any] = field(default_factory=dict)


def join(sequence: str, linker: int) -> tuple[str, Chains | None]:
    """The sequence that the model sees, and where its chains are.

    Args:
        sequence: chains separated by `:`, none of them empty.
        linker: glycines between neighbouring chains.

    Example:
        >>> join("MK:GSH", 2)[0]
        'MKGGGSH'
    """
    chains = sequence.split(SEPARATOR)
    if len(chains) == 1:
        return sequence, None
    lengths = [num_residues(chain) for chain in chains]
    starts = np.cumsum([0, *(length + linker for length in lengths[:-1])]).tolist()
    spans = tuple((start, start + length) for start, length in zip(starts, lengths, strict=True))
    keep = np.concatenate([np.arange(start, stop) for start, stop in spans])
    return (LINKER_RESIDUE * linker).join(chains), Chains(spans, keep)


def joined(
    index: int,
    record_id: str,
    chains: Sequence[Record],
    *,
    linker: int = LINKER_LENGTH,
    shown: Mapping[str, Any] | None = None,
) -> ChainedRecord:
    """Several chains as one record.

    Args:
        index: 0-based place in the input.
        record_id: of all chains together.
        chains: two or more, each accepted by `alphabet.clean`.
        linker: glycines between neighbouring chains.
        shown: see `ChainedRecord`.

    Raises:
        InvalidConfigError: the linker is shorter than one residue.
    """
    if linker < 1:
        raise InvalidConfigError(f"a linker has at least one residue, not {linker}", setting="linker_length")
    sequence, found = join(SEPARATOR.join(chain.sequence for chain in chains), linker)
    assert found is not None
    return ChainedRecord(index, record_id, sequence, origin=chains[0].origin, chains=found, shown=shown or {})


def stream(
    model: Model,
    records: Iterable[ChainedRecord | Failure],
    outputs: Sequence[Output],
    *,
    on_error: Literal["stop", "skip"] = "stop",
    on_progress: Callable[[int], None] | None = None,
) -> Iterator[Result | Failure]:
    """Any outputs for chains, in order, as a stream, without the linkers.

    Args:
        model: what computes; its length policy must not be truncate, which would cut off a chain.
        records: chains that are joined; a Failure passes through in its place.
        outputs: see `esmkit.outputs.build`. Pooled embeddings would hold the linkers: pool `per_residue` instead.
        on_error: as for the engine.
        on_progress: as for the engine.

    Yields:
        Results with what the record shows and the outputs; `meta` holds `length`, residues without linkers, and
        `chains`, the first and last position of each chain in the arrays.

    Raises:
        EsmkitError: under `stop`, the first failure.
    """
    if model.length.on_long == "truncate":
        raise InvalidConfigError(
            "chains are not truncated, since that would cut off the last one; raise the limit instead", setting="long"
        )
    waiting: deque[ChainedRecord | Failure] = deque()

    def seen() -> Iterator[ChainedRecord | Failure]:
        for record in records:
            waiting.append(record)
            yield record

    results = model.engine.run(
        seen(), outputs, length=model.length, residues=model.residues, on_error=on_error, on_progress=on_progress
    )
    for result in results:
        record = waiting.popleft()
        if isinstance(record, Failure) or isinstance(result, Failure):
            yield result
            continue
        about = {**result.meta, "length": len(record.chains.keep), "chains": record.chains.positions()}
        yield Result(result.index, result.id, {**record.shown, **cut(result.arrays, record.chains)}, about)


def cut(arrays: Mapping[str, Any], chains: Chains) -> dict[str, Array]:
    """The arrays of a result without the linkers: `per_residue_*`, logits, contacts, attentions; others unchanged."""
    kept: dict[str, Array] = {}
    for name, value in arrays.items():
        array = np.asarray(value)
        axes = (0,) if name.startswith("per_residue_") else _RESIDUE_AXES.get(name, ())
        for axis in axes:
            array = array.take(chains.keep, axis=axis)
        kept[name] = array
    return kept


def pooled(representations_LD: Array, pool: str) -> Array:
    """The embedding of the chains alone, [D]: their residues pooled, linkers left out."""
    return np.asarray(representations_LD.max(0) if pool == "max" else representations_LD.mean(0, dtype=np.float32))
