"""Self-attention over packed rows: one interface, four back ends.

`eager` is the reference and the only one that can show attention maps; `sdpa` runs anywhere; `native` is our compiled
kernel for fp32 on a CPU; `varlen` is torch's variable-length flash attention on CUDA in 16 bit. Each takes queries,
keys and values as the projection wrote them, and may overwrite them. Gradients flow through `sdpa` and `varlen`.

Shape suffixes: T packed tokens, H heads, K head_dim, R rows, S tokens of one row, h a chunk of heads.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import groupby
from typing import Protocol

import torch
import torch.nn.functional as F  # noqa: N812

from esmkit.errors import InvalidConfigError
from esmkit.layers import native
from esmkit.layers.layout import Layout
from esmkit.layers.rotary import Rotary

MAP_ELEMENTS = 2**20
"""Attention weights held at once by `eager`: one head at S = 1024, more heads of shorter rows (4 MB in fp32)."""


class MapWatcher(Protocol):
    """Sees attention maps as they are made, one row and a few heads at a time; must not keep or change them."""

    def see(self, row: int, first_head: int, probs_hSS: torch.Tensor) -> None:
        """Called once per row and chunk of heads, heads in order."""


Attend = Callable[[torch.Tensor, Rotary, Layout], torch.Tensor]
"""(qkv [T, 3, H, K], rotary tables, layout) -> [T, H, K]."""


def eager(qkv_T3HK: torch.Tensor, rotary: Rotary, layout: Layout, watcher: MapWatcher | None = None) -> torch.Tensor:
    """softmax(q k^T / sqrt(K)) v, written out; softmax in fp32. Holds MAP_ELEMENTS weights at a time."""
    q_THK, k_THK, v_THK = rotary.rotated_(qkv_T3HK)
    out_THK = torch.empty_like(q_THK)
    scale = 1.0 / math.sqrt(q_THK.shape[-1])
    for row, (start, stop) in enumerate(layout.spans):
        q_HSK, k_HSK, v_HSK = (x[start:stop].transpose(0, 1) for x in (q_THK, k_THK, v_THK))
        heads_at_once = min(q_HSK.shape[0], max(1, MAP_ELEMENTS // (stop - start) ** 2))
        scores_hSS = q_HSK.new_empty(heads_at_once, stop - start, stop - start)  # one array for all heads of the row
        for first in range(0, q_HSK.shape[0], heads_at_once):
            chunk = slice(first, first + heads_at_once)
            room_hSS = scores_hSS[: q_HSK[chunk].shape[0]]
            probs_hSS = _softmax_(torch.bmm(q_HSK[chunk], k_HSK[chunk].transpose(1, 2), out=room_hSS).mul_(scale))
            if watcher is not None:
                watcher.see(row, first, probs_hSS)
            out_THK[start:stop, chunk] = torch.matmul(probs_hSS.to(v_HSK.dtype), v_HSK[chunk]).transpose(0, 1)
    return out_THK


def _softmax_(scores_hSS: torch.Tensor) -> torch.Tensor:
    """Softmax over the last axis in fp32, in place when the scores are fp32 already: no second S x S array."""
    scores_hSS = scores_hSS.to(torch.float32)
    scores_hSS.sub_(scores_hSS.amax(-1, keepdim=True)).exp_()
    return scores_hSS.div_(scores_hSS.sum(-1, keepdim=True))


def sdpa(qkv_T3HK: torch.Tensor, rotary: Rotary, layout: Layout) -> torch.Tensor:
    """torch's scaled_dot_product_attention: row by row on a CPU, one padded call elsewhere."""
    q_THK, k_THK, v_THK = rotary.rotated_(qkv_T3HK)
    by_row = layout.num_rows == 1 or qkv_T3HK.device.type == "cpu"
    if by_row and torch.is_grad_enabled():
        return _sdpa_by_length(q_THK, k_THK, v_THK, layout)
    return (_sdpa_by_row if by_row else _sdpa_padded)(q_THK, k_THK, v_THK, layout)


def _sdpa_by_row(q_THK: torch.Tensor, k_THK: torch.Tensor, v_THK: torch.Tensor, layout: Layout) -> torch.Tensor:
    out_THK = torch.empty_like(q_THK)
    for start, stop in layout.spans:
        q, k, v = (x[start:stop].transpose(0, 1)[None] for x in (q_THK, k_THK, v_THK))
        out_THK[start:stop] = F.scaled_dot_product_attention(q, k, v)[0].transpose(0, 1)
    return out_THK


def _sdpa_by_length(q_THK: torch.Tensor, k_THK: torch.Tensor, v_THK: torch.Tensor, layout: Layout) -> torch.Tensor:
    """For training: one call for neighbours of equal length, as random crops often are; overwrites nothing."""
    outs: list[torch.Tensor] = []
    start = 0
    for length, group in groupby(layout.lengths):
        rows = len(list(group))
        stop = start + rows * length
        q, k, v = (x[start:stop].view(rows, length, *x.shape[1:]).transpose(1, 2) for x in (q_THK, k_THK, v_THK))
        outs.append(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(0, 1))
        start = stop
    return torch.cat(outs)


def _sdpa_padded(q_THK: torch.Tensor, k_THK: torch.Tensor, v_THK: torch.Tensor, layout: Layout) -> torch.Tensor:
    """One call for all rows: gathers them into [R, H, S, K]; padded keys are masked, padded queries thrown away."""
    columns_S = torch.arange(layout.max_tokens, device=q_THK.device)
    inside_RS = columns_S < layout.cu_seqlens.diff()[:, None]
    where_RS = (layout.cu_seqlens[:-1, None] + columns_S).clamp_(max=layout.num_tokens - 1)
    q, k, v = (x[where_RS].transpose(1, 2) for x in (q_THK, k_THK, v_THK))
    out_RSHK = F.scaled_dot_product_attention(q, k, v, attn_mask=inside_RS[:, None, None]).transpose(1, 2)
    row_T = layout.to_tokens(torch.arange(layout.num_rows, device=q_THK.device))
    return out_RSHK[row_T, layout.positions()]


def varlen(qkv_T3HK: torch.Tensor, rotary: Rotary, layout: Layout) -> torch.Tensor:
    """torch.nn.attention.varlen: flash attention over packed rows, CUDA, fp16 or bf16.

    FlashAttention 2, torch's default, never splits the keys of packed rows, so a row's answer does not depend on its
    batch mates. `num_splits=1` would say so, but torch 2.11 does not know it and 2.12 takes it for FlashAttention 3.
    """
    from torch.nn.attention.varlen import varlen_attn

    q_THK, k_THK, v_THK = rotary.rotated_(qkv_T3HK)
    cu, longest = layout.cu_seqlens, layout.max_tokens
    out_THK = varlen_attn(q_THK, k_THK, v_THK, cu, cu, longest, longest)
    assert isinstance(out_THK, torch.Tensor)  # a tuple only with return_aux
    return out_THK


def compiled(qkv_T3HK: torch.Tensor, rotary: Rotary, layout: Layout) -> torch.Tensor:
    """Our CPU kernel: rotation and attention in one pass, a row's answer the same bit for bit in any company."""
    return native.attend_rotary(qkv_T3HK, rotary.cos_T1J[:, 0], rotary.sin_T1J[:, 0], layout.bounds)


BACKENDS: dict[str, Attend] = {"eager": eager, "sdpa": sdpa, "native": compiled, "varlen": varlen}


def choose_backend(name: str, device: torch.device, dtype: torch.dtype, head_dim: int) -> str:
    """The back end for `auto`, or `name` if this device and dtype can run it.

    Raises:
        InvalidConfigError: unknown name, or a back end that cannot run here.
    """
    runs = {
        "varlen": dtype in (torch.float16, torch.bfloat16) and head_dim % 8 == 0 and _has_flash(device),
        "native": device.type == "cpu" and dtype == torch.float32 and head_dim % 8 == 0 and native.available(),
        "sdpa": True,
        "eager": True,
    }
    if name == "auto":
        return next(each for each, fits in runs.items() if fits)
    if name not in runs:
        choices = ", ".join(["auto", *runs])
        raise InvalidConfigError(f"unknown attention back end {name!r}; choose from {choices}", setting="attention")
    if not runs[name]:
        needs = "CUDA (Ampere or newer) and 16 bit" if name == "varlen" else "the compiled kernel, a CPU and float32"
        raise InvalidConfigError(
            f"attention back end {name!r} needs {needs}; this is {device.type} with {dtype}: use 'sdpa' or 'auto'",
            setting="attention",
        )
    return name


def _has_flash(device: torch.device) -> bool:
    """Flash attention was built into this torch, and the GPU is of compute capability 8.0 (Ampere) or newer."""
    return (
        device.type == "cuda"
        and torch.backends.cuda.is_flash_attention_available()
        and torch.cuda.get_device_capability(device) >= (8, 0)
    )
