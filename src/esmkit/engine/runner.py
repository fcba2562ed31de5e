"""One model on one device: packed rows in, numpy arrays per row out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from esmkit.batching import collate
from esmkit.errors import DeviceMemoryError, EsmkitError, ModelExecutionError
from esmkit.layers.attention import choose_backend
from esmkit.outputs import Output
from esmkit.types import Features, FloatArray, Needs, Row

RowParts = dict[str, FloatArray]
RowOutcome = RowParts | EsmkitError


class Runner:
    """Runs batches on the device of the module; splits a batch that does not fit and tries again."""

    def __init__(self, module: torch.nn.Module, head_dim: int, *, backend: str = "auto") -> None:
        parameter = next(module.parameters())
        self.module = module
        self.device, self.dtype = parameter.device, parameter.dtype
        self.backend = choose_backend(backend, self.device, self.dtype, head_dim)

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
        try:
            return self._run(rows, names, outputs)
        except RuntimeError as error:
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
    def _run(self, rows: Sequence[Row], names: Sequence[str], outputs: Sequence[Output]) -> list[RowOutcome]:
        batch = collate(rows, range(len(rows)))
        needs = Needs()
        for output in outputs:
            needs |= output.needs()
        starts = batch.cu_seqlens[:-1].tolist()
        masked = [start + 1 + row.masked for start, row in zip(starts, rows, strict=True) if row.masked is not None]
        features = self.module(
            torch.from_numpy(batch.tokens).to(self.device, non_blocking=True),
            tuple(batch.cu_seqlens.tolist()),
            needs,
            logits_at=torch.tensor(masked, device=self.device) if masked else None,
            backend=self.backend,
        )
        finite = np.ones(len(rows), dtype=bool)
        parts: list[RowParts] = [{} for _ in rows]
        for output in outputs:
            computed = output.compute(features, rows)
            for name, part in output.parts().items():
                arrays, finite_rows = _split(computed[name], part.axis, features)
                finite &= finite_rows
                for row_parts, array in zip(parts, arrays, strict=True):
                    row_parts[name] = array
        return [each if ok else self._not_finite(name) for each, ok, name in zip(parts, finite, names, strict=True)]

    def _not_finite(self, name: str) -> ModelExecutionError:
        return ModelExecutionError(
            f"the model gave NaN or Inf for record {name!r} in {str(self.dtype).removeprefix('torch.')}; try --dtype "
            "float32, and check the weights with 'esmkit models verify'",
            records=[name],
        )


def _is_out_of_memory(error: RuntimeError) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def _too_large(row: Row, name: str, device: torch.device) -> DeviceMemoryError:
    return DeviceMemoryError(
        f"record {name!r}: {row.num_residues} residues do not fit into the memory of {device}; use a smaller model, "
        "fewer outputs, a 16-bit dtype, --long window, or --device cpu"
    )


def _split(
    values: Any, axis: str, features: Features
) -> tuple[Sequence[FloatArray], np.ndarray[Any, np.dtype[np.bool]]]:
    """One host array per row, and whether its values are finite.

    Rows that lie in one tensor leave the device in one copy. NaN or Inf shows in a sum at once; only where a sum is not
    finite the values are looked into, because large ones may overflow it.
    """
    if axis == "rows":
        host = _to_host(values)
        sums = host.reshape(len(host), -1).sum(axis=1)
        arrays: Sequence[FloatArray] = list(host)
    elif axis == "residues":
        host = _to_host(values)
        arrays = [host[start + 1 : stop - 1] for start, stop in features.layout.spans]
        sums = np.array([array.sum() for array in arrays])
    else:
        arrays = [_to_host(value) for value in values]
        sums = np.array([array.sum() for array in arrays])
    finite = np.isfinite(sums)
    for row in np.flatnonzero(~finite).tolist():
        finite[row] = np.isfinite(arrays[row]).all()
    return arrays, finite


def _to_host(tensor: torch.Tensor) -> FloatArray:
    array: FloatArray = tensor.to(device="cpu", dtype=torch.float32).numpy()
    return array
