"""Heavy and light chains computed together, joined by a linker that is cut out; D is the width of an embedding."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Literal

from esmkit.applications import chains
from esmkit.applications.chains import LINKER_LENGTH
from esmkit.applications.pairs import Pair, linked
from esmkit.engine import Model
from esmkit.outputs import OutputOptions, build
from esmkit.types import Column, Failure, ModelShape, Result

COLUMNS = ("heavy", "light")
"""Of a table of antibodies."""


def embedding_columns(shape: ModelShape, layer: int) -> list[Column]:
    """The columns that `stream` adds: mean embeddings of both chains together, and of each."""
    number = shape.layer(layer)
    return [Column(f"{name}_{number}", "float", (shape.width,)) for name in ("mean", "mean_heavy", "mean_light")]


def stream(
    model: Model,
    pairs: Iterable[Pair],
    *,
    layer: int = -1,
    linker: int = LINKER_LENGTH,
    on_error: Literal["stop", "skip"] = "stop",
    on_progress: Callable[[int], None] | None = None,
) -> Iterator[Result | Failure]:
    """Mean embeddings of antibodies whose chains see each other, in order, in bounded memory.

    Args:
        model: what computes.
        pairs: the heavy chain first, then the light one.
        layer: of the embeddings.
        linker: glycines between the chains.
        on_error: `stop` raises at the first pair without an answer; `skip` puts a Failure in its place.
        on_progress: called with the tokens computed since the last call.

    Yields:
        Results with the arrays of `embedding_columns`, float32 [D] each, and `pair`.
    """
    (output,) = build(["per_residue"], model.shape, OutputOptions(layers=(layer,)))
    (column,) = output.columns()
    names = [each.name for each in embedding_columns(model.shape, layer)]
    records = (linked(pair, model.residues, linker=linker, on_error=on_error) for pair in pairs)
    for result in chains.stream(model, records, [output], on_error=on_error, on_progress=on_progress):
        if isinstance(result, Failure):
            yield result
            continue
        both_LD = result.arrays[column.name]
        border = result.meta["chains"][0][1]
        means = (chains.pooled(part_LD, "mean") for part_LD in (both_LD, both_LD[:border], both_LD[border:]))
        arrays = {"pair": result.arrays["pair"], **dict(zip(names, means, strict=True))}
        yield Result(result.index, result.id, arrays, result.meta)
