"""The compiled CPU kernel against the plain torch layers, at every instruction set that runs here."""

from __future__ import annotations

from itertools import accumulate
from pathlib import Path

import pytest
import torch

from esmkit.errors import InvalidConfigError
from esmkit.layers import attention, native
from esmkit.layers.layout import Layout
from esmkit.layers.rotary import Rotary

needs_kernel = pytest.mark.skipif(
    native.level() is None, reason="no compiled kernel is installed; `python hatch_build.py` builds it in place"
)
LEVELS = native.LEVELS[: native.LEVELS.index(native.level() or "generic") + 1]
LENGTHS = [*range(1, 71), 127, 128, 129]


def projected(lengths: list[int], heads: int, head_dim: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(head_dim)
    return torch.randn(sum(lengths), 3, heads, head_dim, generator=generator)


def bounds_of(lengths: list[int]) -> tuple[int, ...]:
    return tuple(accumulate(lengths, initial=0))


def tables(lengths: list[int], head_dim: int, dtype: torch.dtype = torch.float32) -> Rotary:
    positions_T = torch.cat([torch.arange(length) for length in lengths])
    rotary = Rotary.of(positions_T, head_dim)
    return Rotary(rotary.cos_T1J.to(dtype), rotary.sin_T1J.to(dtype))


def run(qkv: torch.Tensor, lengths: list[int], level: str | None = None) -> torch.Tensor:
    rotary = tables(lengths, qkv.shape[-1])
    return native.attend_rotary(qkv, rotary.cos_T1J[:, 0], rotary.sin_T1J[:, 0], bounds_of(lengths), level=level)


def eager(qkv: torch.Tensor, lengths: list[int]) -> torch.Tensor:
    """What the layers compute without the kernel."""
    layout = Layout.of(bounds_of(lengths), "cpu")
    return attention.eager(qkv.clone(), tables(lengths, qkv.shape[-1]), layout)


def reference(qkv: torch.Tensor, lengths: list[int]) -> torch.Tensor:
    """The torch layers in fp64 (the softmax of `eager` is fp32, so it is written out here)."""
    rotary = tables(lengths, qkv.shape[-1], torch.float64)
    q, k, v = rotary.rotated_(qkv.double())
    out = torch.empty_like(q)
    for start, stop in Layout.of(bounds_of(lengths), "cpu").spans:
        q_row, k_row, v_row = (x[start:stop].transpose(0, 1) for x in (q, k, v))
        weights = (q_row @ k_row.transpose(1, 2) / qkv.shape[-1] ** 0.5).softmax(-1)
        out[start:stop] = (weights @ v_row).transpose(0, 1)
    return out


@needs_kernel
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("head_dim", [8, 16, 24, 32, 40, 64, 128])
def test_kernel_is_as_exact_as_eager_fp32_at_every_length(head_dim: int, level: str) -> None:
    """Against fp64: the same relative error as `eager` in fp32 (2e-7 to 3.3e-7), below 1e-6; no element is far off."""
    qkv = projected(LENGTHS, 3, head_dim)
    want, got = reference(qkv, LENGTHS), run(qkv, LENGTHS, level)
    assert got.shape == (sum(LENGTHS), 3, head_dim)
    error, error_of_eager = ((x - want).norm() / want.norm() for x in (got, eager(qkv, LENGTHS)))
    assert error <= min(1e-6, 1.3 * error_of_eager)
    torch.testing.assert_close(got.double(), want, atol=3e-6, rtol=0.0)  # eager itself: 1.5e-6 at K = 128


@needs_kernel
@pytest.mark.parametrize("level", LEVELS)
def test_kernel_equals_eager_layers_on_long_rows(level: str) -> None:
    lengths = [1025, 3, 2049, 512, 513]
    qkv = projected(lengths, 2, 16)
    torch.testing.assert_close(run(qkv, lengths, level), eager(qkv, lengths), atol=1e-6, rtol=1e-5)


@needs_kernel
@pytest.mark.skipif("avx512" not in LEVELS, reason="this processor has no AVX-512")
def test_avx2_and_avx512_give_the_same_bits() -> None:
    qkv = projected(LENGTHS, 3, 32)
    assert torch.equal(run(qkv, LENGTHS, "avx2"), run(qkv, LENGTHS, "avx512"))


@needs_kernel
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("offset", [-1e4, 1e4])
def test_large_scores_neither_overflow_nor_vanish(offset: float, level: str) -> None:
    """A constant added to all scores of a query changes nothing; here it is far beyond the range of exp.

    203 keys leave a part-filled tile, whose padding must not count as a score of 0 above the others.
    """
    lengths = [203]
    qkv = projected(lengths, 1, 16)
    qkv[:, :2, :, [0, 8]] = 0.0  # one rotated pair left free
    rotary = Rotary(torch.ones(203, 1, 8), torch.zeros(203, 1, 8))
    arguments = rotary.cos_T1J[:, 0], rotary.sin_T1J[:, 0], (0, 203)
    plain = native.attend_rotary(qkv, *arguments, level=level)
    qkv[:, 0, :, 0], qkv[:, 1, :, 0] = 4.0, offset
    shifted = native.attend_rotary(qkv, *arguments, level=level)
    torch.testing.assert_close(shifted, plain, atol=5e-3, rtol=0.0)  # scores of 1e4 have an ulp of 1e-3


@needs_kernel
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("threads", [1, 2, 4])
def test_row_is_bitwise_the_same_whatever_its_batch_mates_and_threads(threads: int, level: str) -> None:
    lengths = [7, 315, 64, 1, 700, 33, 315]
    qkv = projected(lengths, 5, 16)
    alone = [run(rows.contiguous(), [len(rows)], level) for rows in qkv.split(lengths)]
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        repeats = [run(qkv, lengths, level) for _ in range(5)]
        reversed_rows = run(torch.cat(qkv.split(lengths)[::-1]), lengths[::-1], level)
    finally:
        torch.set_num_threads(before)
    for together in repeats:
        assert torch.equal(together, torch.cat(alone))
    assert torch.equal(reversed_rows, torch.cat(alone[::-1]))


@needs_kernel
def test_kernel_with_its_own_threads_gives_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths = [315, 40, 600]
    qkv = projected(lengths, 5, 32)
    want = run(qkv, lengths)
    monkeypatch.setattr(native, "_openmp", lambda: None)
    assert torch.equal(run(qkv, lengths), want)


@needs_kernel
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("part", [0, 1, 2], ids=["query", "key", "value"])
def test_bad_number_shows_in_its_own_row_and_nowhere_else(part: int, bad: float, level: str) -> None:
    lengths = [70, 130, 20]
    qkv = projected(lengths, 2, 16)
    clean = run(qkv, lengths, level)
    qkv[100, part, 1] = bad
    got = run(qkv, lengths, level)
    assert torch.equal(got[:70], clean[:70])
    assert torch.equal(got[200:], clean[200:])
    assert torch.equal(got[:, 0], clean[:, 0]), "the other head"
    assert not got[70:200, 1].isfinite().all()


@needs_kernel
@pytest.mark.parametrize("level", LEVELS)
def test_nan_query_spoils_one_token_and_nan_key_the_whole_row(level: str) -> None:
    lengths = [70, 130]
    qkv = projected(lengths, 1, 16)
    qkv[100, 0] = float("nan")
    spoiled = run(qkv, lengths, level).isnan().any(-1)[:, 0]
    assert spoiled.nonzero().flatten().tolist() == [100]
    qkv[150, 1] = float("nan")
    spoiled = run(qkv, lengths, level).isnan().any(-1)[:, 0]
    assert spoiled.nonzero().flatten().tolist() == list(range(70, 200))


@needs_kernel
def test_input_is_not_changed_and_memory_around_the_output_is_not_touched() -> None:
    lengths = [9, 50]
    qkv = projected(lengths, 2, 24)
    before = qkv.clone()
    guarded = torch.full((59 + 2, 2, 24), 7.0)
    rotary = tables(lengths, 24)
    library, number = native._library(), native.LEVELS.index(native.level() or "")
    assert library is not None
    bounds = (native.ctypes.c_ssize_t * 3)(0, 9, 59)
    pointers = [x.data_ptr() for x in (qkv, rotary.cos_T1J, rotary.sin_T1J, guarded[1:])]
    assert library.esmkit_attend(*pointers, bounds, 2, 2, 24, 2, number, None) == 0
    assert torch.equal(qkv, before)
    assert torch.equal(guarded[1:-1], run(qkv, lengths))
    assert (guarded[[0, -1]] == 7.0).all()


@needs_kernel
def test_no_tokens_and_empty_rows_are_fine() -> None:
    assert run(torch.empty(0, 3, 2, 16), [0]).shape == (0, 2, 16)
    qkv = projected([5, 8], 2, 16)
    assert torch.equal(run(qkv, [5, 0, 8, 0]), run(qkv, [5, 8]))


@needs_kernel
@pytest.mark.parametrize("bounds", [(), (0,), (0, 4), (0, 6), (1, 5), (0, 4, 2, 5), (0, -1, 5), (0, 9, 5)])
def test_bounds_that_would_leave_the_tensor_are_refused(bounds: tuple[int, ...]) -> None:
    rotary = tables([5], 16)
    with pytest.raises(ValueError, match="bounds must rise from 0 to T = 5"):
        native.attend_rotary(projected([5], 2, 16), rotary.cos_T1J[:, 0], rotary.sin_T1J[:, 0], bounds)


@needs_kernel
@pytest.mark.parametrize(
    "qkv",
    [
        torch.zeros(5, 3, 2, 16, dtype=torch.float64),
        torch.zeros(5, 3, 2, 12),
        torch.zeros(5, 2, 2, 16),
        torch.zeros(5, 3, 32),
        torch.zeros(5, 3, 2, 32)[..., ::2],
        torch.zeros(5, 3, 2, 16, device="meta"),
        torch.zeros(5, 3, 2, 16, requires_grad=True),
    ],
    ids=["fp64", "head_dim 12", "two parts", "three axes", "strided", "meta", "wants gradients"],
)
def test_tensor_the_kernel_cannot_read_is_refused(qkv: torch.Tensor) -> None:
    table = torch.zeros(5, 8)
    with pytest.raises(ValueError, match="qkv must be contiguous float32"):
        native.attend_rotary(qkv, table, table, (0, 5))


@needs_kernel
@pytest.mark.parametrize("table", [torch.zeros(4, 8), torch.zeros(5, 16)[:, ::2], torch.zeros(5, 8).double()])
def test_rotary_table_of_another_shape_or_dtype_is_refused(table: torch.Tensor) -> None:
    qkv, good = projected([5], 2, 16), torch.zeros(5, 8)
    with pytest.raises(ValueError, match="cos must be"):
        native.attend_rotary(qkv, table, good, (0, 5))
    with pytest.raises(ValueError, match="sin must be"):
        native.attend_rotary(qkv, good, table, (0, 5))


@needs_kernel
def test_unknown_level_is_refused_with_the_choices() -> None:
    with pytest.raises(ValueError, match="choose from generic"):
        run(projected([5], 2, 16), [5], "sse9")


@needs_kernel
@pytest.mark.parametrize(("switch", "expected"), [("0", False), ("off", False), ("1", True), ("", True)])
def test_environment_switches_the_kernel_off(monkeypatch: pytest.MonkeyPatch, switch: str, expected: bool) -> None:
    monkeypatch.setenv("ESMKIT_NATIVE", switch)
    assert native.available() is expected


def test_switch_that_means_nothing_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ESMKIT_NATIVE", "maybe")
    with pytest.raises(InvalidConfigError, match="neither on"):
        native.available()


def test_without_a_library_the_kernel_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(native, "LIBRARY", tmp_path / "attend.so")
    native._library.cache_clear()
    try:
        assert native.level() is None
        assert not native.available()
        with pytest.raises(ValueError, match="no compiled kernel"):
            run(projected([5], 2, 16), [5])
    finally:
        native._library.cache_clear()
