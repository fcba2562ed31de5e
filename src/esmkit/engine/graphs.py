"""CUDA graphs for small batches: the model's kernels are recorded once and replayed by one call.

Python launches the kernels of a few thousand tokens more slowly than a GPU runs them. A recording has fixed shapes and
addresses, so a batch is padded to the next of few sizes and copied into the input buffer of that size, and the answer
is copied out before the next replay. Nothing rests on this: what a recording gives is compared once with the eager
answer of the same batch, and where recording fails or gives anything else, the runner goes on without.

Shape suffixes: T packed tokens, R rows, D width, V vocabulary.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from esmkit.alphabet import PAD_ID
from esmkit.layers.layout import Layout, pinned, upload
from esmkit.types import Features, Needs, TokenBatch

MOST_TOKENS = 4096
LAUNCH_BOUND = 2**31
"""Tokens x width²: about what an H100 computes of a layer in the 0.1 ms that Python needs to launch its kernels."""
MOST_RECORDINGS = 64
ROUNDINGS = 32
"""Error allowed to a recording, relative to the eager answer of each token, in units of the dtype's precision."""

Forward = Callable[[torch.Tensor, Layout, Needs, torch.Tensor | None], Features]
"""(tokens [T], layout, needs, tokens whose logits are wanted) -> what the model gives, all on the device."""
Compute = Callable[[], Features]


def eagerly(
    forward: Forward, batch: TokenBatch, needs: Needs, logits_at: Sequence[int], device: torch.device
) -> Features:
    """What the model gives for a batch, launched kernel by kernel.

    Args:
        forward: the model.
        batch: packed rows.
        needs: what to compute.
        logits_at: tokens whose logits are wanted, at most one per row; none means all.
        device: where the model is.
    """
    tokens_T = upload(torch.from_numpy(batch.tokens), device)
    layout = Layout.of(tuple(batch.cu_seqlens.tolist()), device)
    return forward(tokens_T, layout, needs, upload(torch.tensor(logits_at), device) if logits_at else None)


@dataclass(frozen=True, slots=True)
class Size:
    """The shapes of a recording; batches of like size share one.

    Attributes:
        tokens: T, a multiple of 64, at most a quarter more than the batch has above 256.
        rows: R; at least one more than the batch has: the last row holds the padding, others are empty.
        longest: tokens of the longest row, rounded up; attention launches blocks for it and stops the needless ones.
    """

    tokens: int
    rows: int
    longest: int

    @classmethod
    def of(cls, batch: TokenBatch) -> Size:
        """The smallest that the batch fits into.

        Example:
            >>> lengths = np.array([130, 20], dtype=np.int32)
            >>> Size.of(TokenBatch(np.zeros(150), lengths, np.array([0, 130, 150])))
            Size(tokens=192, rows=8, longest=192)
        """
        step = max(64, _power_of_two(batch.num_tokens) // 8)
        tokens = -(-batch.num_tokens // step) * step
        rows = 8
        while rows <= len(batch.lengths):
            rows *= 4
        longest = max(64, int(batch.lengths.max()), tokens - batch.num_tokens)
        return cls(tokens, rows, min(tokens, _power_of_two(longest)))

    @property
    def parts(self) -> tuple[int, int, int]:
        """Numbers in the input buffer: tokens, row boundaries, tokens whose logits are wanted (at most one per row)."""
        return self.tokens, self.rows + 1, self.rows

    def pad(self, batch: TokenBatch, logits_at: Sequence[int]) -> torch.Tensor:
        """The input buffer of a batch, int64 on the host."""
        inputs = np.zeros(sum(self.parts), dtype=np.int64)
        tokens, bounds, at = np.split(inputs, np.cumsum(self.parts)[:-1])
        tokens[:] = PAD_ID
        tokens[: batch.num_tokens] = batch.tokens
        bounds[:] = batch.num_tokens
        bounds[: len(batch.cu_seqlens)] = batch.cu_seqlens
        bounds[-1] = self.tokens
        at[: len(logits_at)] = logits_at
        return torch.from_numpy(inputs)


def _power_of_two(number: int) -> int:
    return 1 << (number - 1).bit_length()


class CudaRecorder:
    """Records work as CUDA graphs; all of one recorder share their memory, so an answer lasts until the next replay."""

    def __init__(self, device: torch.device) -> None:
        self.stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self.pool = torch.cuda.graph_pool_handle()

    def __call__(self, compute: Compute) -> Compute:
        """Runs `compute` once, records it, and gives what replays it into the same tensors."""
        graph = torch.cuda.CUDAGraph()
        self.stream.wait_stream(torch.cuda.current_stream(self.stream.device))
        with torch.cuda.stream(self.stream):  # also brings the caller's stream back when recording fails half-way
            compute()  # compiles kernels and makes workspaces, which cannot be done while recording
            # thread_local: what other threads do meanwhile, such as pinning memory, is not our mistake.
            with torch.cuda.graph(graph, pool=self.pool, stream=self.stream, capture_error_mode="thread_local"):
                features = compute()

        def replay() -> Features:
            graph.replay()
            return features

        return replay


class _Recording:
    """The forward pass of one size with its input buffer."""

    replay: Compute

    def __init__(self, size: Size, needs: Needs, some_logits: bool, device: torch.device) -> None:
        self.size, self.needs, self.some_logits = size, needs, some_logits
        self.inputs = torch.zeros(sum(size.parts), dtype=torch.int64, device=device)

    def compute(self, forward: Forward) -> Features:
        """The forward pass on whatever the buffer holds: shapes come from the size alone."""
        tokens_T, bounds, at = self.inputs.split_with_sizes(self.size.parts)
        layout = Layout.on_device(bounds.int(), num_tokens=self.size.tokens, max_tokens=self.size.longest)
        return forward(tokens_T, layout, self.needs, at if self.some_logits else None)

    def fill(self, batch: TokenBatch, logits_at: Sequence[int]) -> None:
        """Brings a batch into the buffer."""
        self.inputs.copy_(pinned(self.size.pad(batch, logits_at), self.inputs.device), non_blocking=True)

    def answer(self, batch: TokenBatch, logits_at: Sequence[int]) -> Features:
        """Replays for the batch in the buffer; copies, because the next replay writes over what this one gave."""
        features = self.replay()
        num_tokens, num_rows = batch.num_tokens, len(batch.lengths)
        layout = Layout(
            bounds=tuple(batch.cu_seqlens.tolist()),
            cu_seqlens=features.layout.cu_seqlens[: num_rows + 1].clone(),
            num_tokens=num_tokens,
            max_tokens=int(batch.lengths.max()),
        )
        logits = features.logits
        return Features(
            layout=layout,
            tokens_T=features.tokens_T[:num_tokens].clone(),
            representations={layer: x_TD[:num_tokens].clone() for layer, x_TD in features.representations.items()},
            logits=None if logits is None else logits[: len(logits_at) or num_tokens].clone(),
        )


class Graphs:
    """Forward passes of small batches by replaying recordings; larger ones, and maps, eagerly.

    A size is recorded when it comes for the second time. Recordings are kept while they are among the last used.

    Args:
        record: turns work into what replays it.
        most_tokens: larger batches keep the GPU busy by themselves.
        most_recordings: sizes remembered.
    """

    def __init__(
        self, record: Callable[[Compute], Compute], *, most_tokens: int, most_recordings: int = MOST_RECORDINGS
    ) -> None:
        self.record, self.most_tokens, self.most_recordings = record, most_tokens, most_recordings
        self.recordings: OrderedDict[tuple[Size, Needs, bool], _Recording | None] = OrderedDict()
        self._lock = threading.Lock()  # one buffer and one answer per size, whoever asks

    def __call__(
        self, forward: Forward, batch: TokenBatch, needs: Needs, logits_at: Sequence[int], device: torch.device
    ) -> Features:
        """What the model gives for a batch; see `eagerly`."""
        eager = partial(eagerly, forward, batch, needs, logits_at, device)
        if needs.maps or batch.num_tokens > self.most_tokens:
            return eager()
        key = Size.of(batch), needs, bool(logits_at)
        with self._lock:
            known, recording = key in self.recordings, self.recordings.get(key)
            if not known:
                self._remember(key, None)
            elif recording is None:
                expected = eager()  # outside of what follows: its failures are those of the batch
                return self._recorded(_Recording(*key, device), forward, batch, logits_at, expected)
            else:
                self.recordings.move_to_end(key)
                recording.fill(batch, logits_at)
                return recording.answer(batch, logits_at)
        return eager()

    def _recorded(
        self, recording: _Recording, forward: Forward, batch: TokenBatch, logits_at: Sequence[int], expected: Features
    ) -> Features:
        """Records a size, and answers its first batch."""
        try:
            recording.fill(batch, logits_at)
            recording.replay = self.record(partial(recording.compute, forward))
            found = recording.answer(batch, logits_at)
            reason = "" if _agree(found, expected) else "a replay does not give the eager answer"
        except Exception as error:  # whatever CUDA, torch or Triton may raise
            reason = str(error)
        if reason:
            self.most_tokens = 0
            self.recordings.clear()
            logging.getLogger(__name__).warning("going on without CUDA graphs: %s", reason)
            return expected
        self._remember((recording.size, recording.needs, recording.some_logits), recording)
        return found

    def _remember(self, key: tuple[Size, Needs, bool], recording: _Recording | None) -> None:
        self.recordings[key] = recording
        self.recordings.move_to_end(key)
        if len(self.recordings) > self.most_recordings:
            _, oldest = self.recordings.popitem(last=False)
            if oldest is not None and oldest.inputs.is_cuda:
                torch.cuda.synchronize(oldest.inputs.device)  # it may still be replaying


def most_tokens(width: int) -> int:
    """Batches of a model of this width are bound by launches up to about so many tokens.

    Example:
        >>> most_tokens(320), most_tokens(1280)
        (4096, 1310)
    """
    return min(MOST_TOKENS, LAUNCH_BOUND // width**2)


def _agree(found: Features, expected: Features) -> bool:
    """Whether two answers are equal to rounding, token by token; what overflows eagerly is left out."""
    pairs = [(found.representations[layer], x_TD) for layer, x_TD in expected.representations.items()]
    if found.logits is not None and expected.logits is not None:
        pairs.append((found.logits, expected.logits))
    return all(_close(*pair) for pair in pairs)


def _close(found_TD: torch.Tensor, expected_TD: torch.Tensor) -> bool:
    tolerance = max(1e-4, ROUNDINGS * torch.finfo(expected_TD.dtype).eps)
    error_T = (found_TD.float() - expected_TD.float()).norm(dim=-1)
    size_T = expected_TD.float().norm(dim=-1)
    return bool(((error_T <= tolerance * size_T) | ~size_T.isfinite()).all())
