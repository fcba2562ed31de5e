"""One model on one device: packed rows in, numpy arrays per row out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from esmkit.batching import collate
from esmkit.engine.budget import free_bytes
from esmkit.engine.graphs import CudaRecorder, Graphs, eagerly, most_tokens
from esmkit.errors import DeviceMemoryError, EsmkitError, ModelExecutionError
from esmkit.layers.attention import choose_backend
from esmkit.layers.layout import Layout
from esmkit.outputs import Output
from esmkit.types import Features, FloatArray, ModelShape, Needs, Row

LIVE_MAPS = 5
"""Arrays of tokens x tokens alive at once where maps are made: one head, the sum, its symmetrised copy, slack."""

RowParts = dict[str, FloatArray]
RowOutcome = RowParts | EsmkitError


@dataclass(frozen=True, slots=True)
class Launched:
    """A batch on its way: queued on the device, its answers being copied to the host; `Runner.collect` waits for it.

    Attributes:
        arrays: part -> host tensor, or one per row, not to be read before `ready`.
        ready: CUDA event after the last copy; None where copies are done at once.
        error: why there is nothing to collect.
    """

    rows: Sequence[Row]
    names: Sequence[str]
    outputs: Sequence[Output]
    spans: Sequence[tuple[int, int]] = ()
    arrays: Mapping[str, Any] = field(default_factory=dict)
    ready: torch.cuda.Event | None = None
    error: RuntimeError | None = None


class Runner:
    """Runs batches on the device of the module; splits a batch that does not fit and tries again.

    Args:
        module: the model, where and as it shall run.
        shape: its sizes.
        backend: attention back end, or `auto`.
        graphs: replay small batches from CUDA graphs; only `varlen` attention can, its work follows the rows it finds.

    Attributes:
        depth: batches to launch before the first is collected, so that a GPU computes while the host packs and merges.
        features: how the model is asked for a batch; `eagerly`, or by Graphs.
    """

    def __init__(
        self, module: torch.nn.Module, shape: ModelShape, *, backend: str = "auto", graphs: bool = True
    ) -> None:
        parameter = next(module.parameters())
        self.module = module
        self.device, self.dtype = parameter.device, parameter.dtype
        self.backend = choose_backend(backend, self.device, self.dtype, shape.head_dim)
        self.depth = 2 if self.device.type == "cuda" else 1
        replays = graphs and self.backend == "varlen"
        self.features = Graphs(CudaRecorder(self.device), most_tokens=most_tokens(shape.width)) if replays else eagerly

    def run(self, rows: Sequence[Row], names: Sequence[str], outputs: Sequence[Output]) -> list[RowOutcome]:
        """What every row gave, in the order of the rows; a failure costs no other row more than it must.

        Args:
            rows: all plain, or all masked.
            names: the record id of each row, for errors.
            outputs: outputs for that kind of row.

        Returns:
            Per row its parts, or: DeviceMemoryError when it does not fit alone, ModelExecutionError when its values
            are not finite, or when the model failed on the batch it was in.
        """
        return self.collect(self.launch(rows, names, outputs))

    def launch(self, rows: Sequence[Row], names: Sequence[str], outputs: Sequence[Output]) -> Launched:
        """Starts a batch; on a GPU it returns before the answer is there. Never raises for what a batch does."""
        try:
            return self._launch(rows, names, outputs)
        except RuntimeError as error:
            # Its traceback would keep every tensor of the failed batch, and the next try would find no more memory.
            return Launched(rows, names, outputs, error=error.with_traceback(None))

    def collect(self, launched: Launched) -> list[RowOutcome]:
        """Waits for a launched batch; see `run`."""
        error = launched.error
        if error is None:
            try:
                return self._collect(launched)
            except RuntimeError as late:  # CUDA reports a failing kernel at the next synchronisation
                error = late
        rows, names, outputs = launched.rows, launched.names, launched.outputs
        if not _is_out_of_memory(error):
            failure = ModelExecutionError(f"the model failed: {error}", records=dict.fromkeys(names))
            return [failure] * len(rows)
        if len(rows) == 1:
            return [_too_large(rows[0], names[0], self.device)]
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        half = len(rows) // 2
        return [*self.run(rows[:half], names[:half], outputs), *self.run(rows[half:], names[half:], outputs)]

    @torch.inference_mode()
    def _launch(self, rows: Sequence[Row], names: Sequence[str], outputs: Sequence[Output]) -> Launched:
        batch = collate(rows)
        needs = Needs()
        for output in outputs:
            needs |= output.needs()
        if needs.maps:
            _demand_room_for_maps(int(batch.lengths.max()), self.device)
        starts = batch.cu_seqlens[:-1].tolist()
        masked = [start + 1 + row.masked for start, row in zip(starts, rows, strict=True) if row.masked is not None]
        features = self.features(self._forward, batch, needs, masked, self.device)
        arrays = {
            name: [_to_host(each) for each in value] if isinstance(value, list) else _to_host(value)
            for output in outputs
            for name, value in output.compute(features, rows).items()
        }
        ready = None
        if self.device.type == "cuda":
            ready = torch.cuda.Event()  # type: ignore[no-untyped-call]
            ready.record(torch.cuda.current_stream(self.device))
        return Launched(rows, names, outputs, features.layout.spans, arrays, ready)

    def _forward(
        self, tokens_T: torch.Tensor, layout: Layout, needs: Needs, logits_at: torch.Tensor | None
    ) -> Features:
        features: Features = self.module(tokens_T, layout, needs, logits_at=logits_at, backend=self.backend)
        return features

    def _collect(self, launched: Launched) -> list[RowOutcome]:
        if launched.ready is not None:
            launched.ready.synchronize()
        finite = np.ones(len(launched.rows), dtype=bool)
        parts: list[RowParts] = [{} for _ in launched.rows]
        for output in launched.outputs:
            for name, part in output.parts().items():
                arrays, finite_rows = _split(launched.arrays[name], part.axis, launched.spans)
                finite &= finite_rows
                for row_parts, array in zip(parts, arrays, strict=True):
                    row_parts[name] = array
        by_row = zip(parts, finite, launched.names, strict=True)
        return [row_parts if ok else self._not_finite(name) for row_parts, ok, name in by_row]

    def _not_finite(self, name: str) -> ModelExecutionError:
        return ModelExecutionError(
            f"the model gave NaN or Inf for record {name!r} in {str(self.dtype).removeprefix('torch.')}; try --dtype "
            "float32, and check the weights with 'esmkit models verify'",
            records=[name],
        )


def _demand_room_for_maps(num_tokens: int, device: torch.device) -> None:
    """Maps of a long row grow with the square: better an error before than the kernel's out-of-memory killer after."""
    needed = LIVE_MAPS * 4 * num_tokens**2
    if num_tokens > 4096 and needed > free_bytes(device):
        raise torch.OutOfMemoryError(f"attention maps of {num_tokens} tokens need {needed / 1e9:.1f} GB")


def _is_out_of_memory(error: RuntimeError) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def _too_large(row: Row, name: str, device: torch.device) -> DeviceMemoryError:
    return DeviceMemoryError(
        f"record {name!r}: {row.num_residues} residues do not fit into the memory of {device}; use a smaller model, "
        "fewer outputs, a 16-bit dtype, --long window, or --device cpu"
    )


def _split(
    values: Any, axis: str, spans: Sequence[tuple[int, int]]
) -> tuple[Sequence[FloatArray], np.ndarray[Any, np.dtype[np.bool]]]:
    """One array per row, and whether its values are finite.

    NaN or Inf shows in a sum at once; only where a sum is not finite the values are looked into, because large ones may
    overflow it.
    """
    if axis == "each":
        arrays: Sequence[FloatArray] = [_numpy(value) for value in values]
    else:
        whole = _numpy(values)
        arrays = list(whole) if axis == "rows" else [whole[start + 1 : stop - 1] for start, stop in spans]
    sums = whole.reshape(len(whole), -1).sum(axis=1) if axis == "rows" else np.array([each.sum() for each in arrays])
    finite = np.isfinite(sums)
    for row in np.flatnonzero(~finite).tolist():
        finite[row] = np.isfinite(arrays[row]).all()
    return arrays, finite


def _to_host(tensor: torch.Tensor) -> torch.Tensor:
    """A float32 copy on the host; from CUDA into pinned memory, complete only after an event recorded after it."""
    tensor = tensor.to(torch.float32)
    if tensor.device.type != "cuda":
        return tensor.cpu()
    return torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True).copy_(tensor, non_blocking=True)


def _numpy(tensor: torch.Tensor) -> FloatArray:
    """As numpy; out of pinned memory, which is scarce and goes back to its pool."""
    array: FloatArray = tensor.numpy()
    return array.copy() if tensor.is_pinned() else array
