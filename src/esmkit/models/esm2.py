"""ESM-2 (Lin et al. 2023, doi:10.1126/science.ade2574): the encoder of every size, on packed tokens.

Shape suffixes: T packed tokens, R rows, D width, H heads, K head_dim, V vocabulary, N layers, S tokens of a row.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import nn

from esmkit.layers import attention
from esmkit.layers.block import NORM_EPS, Block
from esmkit.layers.heads import ContactHead, ContactSum, LMHead
from esmkit.layers.layout import Layout
from esmkit.layers.rotary import BASE, Rotary
from esmkit.models.base import FAIR_ESM, TRANSFORMERS, Checkpoint, ConfigRules, Family, FileFormat, KeyMap
from esmkit.types import Features, ModelShape, Needs

VOCABULARY = 33
MASK_ID = 32
TRAINED_MASK_RATIO = 0.15 * 0.8
"""Share of positions that were <mask> in training: 15 % were chosen, 80 % of those masked."""


class Esm2(nn.Module):
    """The model as modules; parameter names are esmkit's own and `models/weights` maps checkpoints to them."""

    def __init__(self, shape: ModelShape) -> None:
        super().__init__()
        self.shape = shape
        # nn.Embedding would call normal_, which on the meta device imports torch._dynamo: 1 s and more, and 76 MB.
        values = torch.rand(VOCABULARY, shape.width)
        self.embedding = nn.Embedding.from_pretrained(values, freeze=False)  # type: ignore[no-untyped-call]
        self.blocks = nn.ModuleList(Block(shape.width, shape.num_heads) for _ in range(shape.num_layers))
        self.final_norm = nn.LayerNorm(shape.width, eps=NORM_EPS)
        self.lm_head = LMHead(shape.width, VOCABULARY)
        self.contact_head = ContactHead(shape.num_layers * shape.num_heads)

    def forward(
        self,
        tokens_T: torch.Tensor,
        layout: Layout,
        needs: Needs,
        *,
        logits_at: torch.Tensor | None = None,
        backend: str = "sdpa",
    ) -> Features:
        """Runs the layers that `needs` asks for and no others.

        Args:
            tokens_T: int64 [T] token ids, every row between cls and eos.
            layout: where the rows lie within T, on the device of the weights.
            needs: what to compute.
            logits_at: tokens (index into T) whose logits are wanted; all of them when None.
            backend: attention back end for the layers whose maps nobody watches.

        Returns:
            Features on the device of the weights.
        """
        watcher = _Watcher(needs, layout, self.shape, self.contact_head) if needs.maps else None
        representations: dict[int, torch.Tensor] = {}
        x_TD = self._embed(tokens_T, layout)
        rotary = Rotary.of(layout.positions(), self.shape.head_dim)
        last = self._last_layer(needs)
        for number, block in enumerate(self.blocks[:last]):
            if number in needs.layers:
                representations[number] = x_TD.clone()
            attend = attention.BACKENDS[backend]
            if watcher is not None and watcher.wants(number):
                attend = partial(attention.eager, watcher=watcher)
            x_TD = block(x_TD, layout, rotary, attend)
        if last == self.shape.num_layers and (needs.logits or last in needs.layers):
            x_TD = self.final_norm(x_TD)
        if last in needs.layers:
            representations[last] = x_TD
        return Features(
            layout=layout,
            tokens_T=tokens_T,
            representations=representations,
            logits=self._logits(x_TD, logits_at) if needs.logits else None,
            contacts=watcher.contacts() if watcher and needs.contacts else None,
            attention_maps=watcher.maps if watcher else None,
            attention_means=watcher.means if watcher else None,
        )

    def _logits(self, x_TD: torch.Tensor, at: torch.Tensor | None) -> torch.Tensor:
        logits: torch.Tensor = self.lm_head(x_TD if at is None else x_TD[at], self.embedding.weight)
        return logits

    def _last_layer(self, needs: Needs) -> int:
        if needs.logits or needs.contacts or needs.attention_means:
            return self.shape.num_layers
        return max([*needs.layers, *(layer + 1 for layer, _ in needs.attention_maps)], default=0)

    def _embed(self, tokens_T: torch.Tensor, layout: Layout) -> torch.Tensor:
        """Token embeddings with ESM-2's token dropout, which stays on at inference.

        <mask> embeds to zero, and each row is scaled by (1 - 0.12) / (1 - its own share of masked tokens).
        """
        is_mask_T = tokens_T == MASK_ID
        ends_T1 = torch.nn.functional.pad(is_mask_T.cumsum(0), (1, 0))
        masks_R = ends_T1[layout.cu_seqlens].diff()
        scale_R = (1.0 - TRAINED_MASK_RATIO) / (1.0 - masks_R / layout.cu_seqlens.diff())
        scale_T = layout.to_tokens(scale_R).masked_fill(is_mask_T, 0.0)
        x_TD: torch.Tensor = self.embedding(tokens_T)
        return x_TD * scale_T[:, None].to(x_TD.dtype)


class _Watcher:
    """Collects what was asked of the attention maps of one batch, layer by layer."""

    def __init__(self, needs: Needs, layout: Layout, shape: ModelShape, head: ContactHead) -> None:
        self.needs, self.shape = needs, shape
        device = layout.cu_seqlens.device
        self.layer = -1
        self.maps: list[dict[tuple[int, int], torch.Tensor]] = [{} for _ in layout.spans]
        self.means = [torch.zeros(shape.num_layers, length, device=device) for length in layout.lengths]
        self.sums: list[ContactSum] = []
        if needs.contacts:
            weights, bias = head.weight.float().flatten().tolist(), float(head.bias)
            self.sums = [ContactSum(weights, bias, length - 2, device) for length in layout.lengths]

    def wants(self, layer: int) -> bool:
        """Tells which layer comes next, and whether its maps must be shown."""
        self.layer = layer
        every_layer = self.needs.contacts or self.needs.attention_means
        return every_layer or any(layer == wanted for wanted, _ in self.needs.attention_maps)

    def see(self, row: int, first_head: int, probs_hSS: torch.Tensor) -> None:
        """One row, a few heads of the current layer."""
        if self.sums:
            self.sums[row].add(probs_hSS)
        if self.needs.attention_means:
            self.means[row][self.layer] += probs_hSS.mean(1).sum(0) / self.shape.num_heads
        for offset, probs_SS in enumerate(probs_hSS):
            key = (self.layer, first_head + offset)
            if key in self.needs.attention_maps:
                self.maps[row][key] = probs_SS.clone()

    def contacts(self) -> list[torch.Tensor]:
        """Contact probabilities per row."""
        return [row_sum.probabilities() for row_sum in self.sums]


_FAIR_ATTENTION = "layers.{i}.self_attn"
# Module names: (ours, transformers' EsmForMaskedLM, fair-esm's ESM2).
_MODULES = (
    ("embedding", "esm.embeddings.word_embeddings", "embed_tokens"),
    ("blocks.{i}.attention_norm", "esm.encoder.layer.{i}.attention.LayerNorm", "layers.{i}.self_attn_layer_norm"),
    (
        "blocks.{i}.qkv",
        "esm.encoder.layer.{i}.attention.self.query|key|value",
        f"{_FAIR_ATTENTION}.q_proj|k_proj|v_proj",
    ),
    ("blocks.{i}.out", "esm.encoder.layer.{i}.attention.output.dense", f"{_FAIR_ATTENTION}.out_proj"),
    ("blocks.{i}.ffn_norm", "esm.encoder.layer.{i}.LayerNorm", "layers.{i}.final_layer_norm"),
    ("blocks.{i}.up", "esm.encoder.layer.{i}.intermediate.dense", "layers.{i}.fc1"),
    ("blocks.{i}.down", "esm.encoder.layer.{i}.output.dense", "layers.{i}.fc2"),
    ("final_norm", "esm.encoder.emb_layer_norm_after", "emb_layer_norm_after"),
    ("lm_head", "lm_head", "lm_head"),
    ("lm_head.dense", "lm_head.dense", "lm_head.dense"),
    ("lm_head.norm", "lm_head.layer_norm", "lm_head.layer_norm"),
    ("contact_head", "esm.contact_head.regression", "contact_head.regression"),
)
_NOT_ESM2 = "this is no ESM-2 checkpoint: ESM-1, ESM-1b, ESM-1v, ESM C and ESMFold are other models"
_HF_LAYER_ROTARY = "esm.encoder.layer.{i}.attention.self.rotary_embeddings.inv_freq"


def _inverse_frequencies(shape: ModelShape) -> dict[str, torch.Tensor]:
    """Rotary frequencies per layer: public checkpoints hold them, and transformers reports them missing if not."""
    exponents_J = torch.arange(0, shape.head_dim, 2, dtype=torch.float32) / shape.head_dim
    inv_freq_J = 1.0 / BASE**exponents_J
    return {_HF_LAYER_ROTARY.format(i=layer): inv_freq_J.clone() for layer in range(shape.num_layers)}


_TRANSFORMERS = FileFormat(
    config=ConfigRules(
        required={
            "model_type": "esm",
            "position_embedding_type": "rotary",
            "token_dropout": True,
            "vocab_size": VOCABULARY,
            "mask_token_id": MASK_ID,
            "layer_norm_eps": NORM_EPS,
        },
        assumed={
            "emb_layer_norm_before": False,
            "is_folding_model": False,
            "tie_word_embeddings": True,
            "hidden_act": "gelu",
            "pad_token_id": 1,
            "rope_theta": BASE,
        },
        layers="num_hidden_layers",
        width="hidden_size",
        heads="num_attention_heads",
        ffn="intermediate_size",
        advice=_NOT_ESM2,
    ),
    keys=KeyMap(
        modules={ours: theirs for ours, theirs, _ in _MODULES},
        rewrites=(
            (r"^(?=(embeddings|encoder|contact_head|pooler|rotary_embeddings)\.)", "esm."),  # saved from EsmModel
            (r"LayerNorm\.gamma$", "LayerNorm.weight"),  # transformers 5 saves the names of TensorFlow
            (r"LayerNorm\.beta$", "LayerNorm.bias"),
        ),
        unused=(
            r"esm\.embeddings\.position_ids",
            # Public ESM-2 files carry a position table that was never trained nor used (transformers PR 39063).
            r"esm\.embeddings\.position_embeddings\.weight",
            # transformers 5 writes one rotary table, literally under "layer.*".
            r"esm\.(encoder\.layer\.(\d+|\*)\.attention\.self\.)?rotary_embeddings\.inv_freq",
            r"esm\.pooler\.dense\.(weight|bias)",
        ),
        tied={
            "lm_head.decoder.weight": "esm.embeddings.word_embeddings.weight",
            "lm_head.decoder.bias": "lm_head.bias",
        },
    ),
    complete="a complete checkpoint has encoder, LM head and contact head: in transformers, save an EsmForMaskedLM",
    derived=_inverse_frequencies,
)

_FAIR_ESM = FileFormat(
    config=ConfigRules(
        required={"token_dropout": True},
        assumed={},
        layers="encoder_layers",
        width="encoder_embed_dim",
        heads="encoder_attention_heads",
        ffn="encoder_ffn_embed_dim",
        advice=_NOT_ESM2,
    ),
    keys=KeyMap(
        modules={ours: theirs for ours, _, theirs in _MODULES},
        rewrites=((r"^encoder\.(sentence_encoder\.)?", ""),),  # names of the training code
        unused=(r"layers\.\d+\.self_attn\.rot_emb\.inv_freq",),
        tied={"lm_head.weight": "embed_tokens.weight"},
    ),
    complete="a fair-esm checkpoint is NAME.pt with NAME-contact-regression.pt beside it",
)

_SHA256 = {
    "esm2-8m": {"model.safetensors": "c78322372c5f2a2db07ff6df20637701d82eb255aa32e2623c2db18553db28d9"},
    "esm2-35m": {"model.safetensors": "da93c01fb49062629d1e9040290fda26b7a69bb3daaccf8c2c16adf509f086d8"},
    "esm2-650m": {"esm2_t33_650M_UR50D.pt": "c89758ebab0cecd17aebf8fae7a3000f56cac3e544606e1f8780696c00b8cf16"},
}


def _checkpoint(slug: str, name: str, sizes: tuple[int, int, int], parameters: int) -> Checkpoint:
    return Checkpoint(
        slug=slug,
        name=name,
        shape=ModelShape(*sizes),
        hub_id=f"facebook/{name}",
        parameters=parameters,
        licence="MIT",
        sha256=_SHA256.get(slug, {}),
    )


def _activation_bytes(shape: ModelShape, bytes_per_number: int) -> int:
    """Most at once, in the feed-forward: x, q, k, v, norm(x), input and output of GELU: 13 D; measured 13.1 to 13.4."""
    return 14 * shape.width * bytes_per_number


FAMILY = Family(
    name="esm2",
    title="ESM-2",
    provides=frozenset({"representations", "logits", "contacts", "attentions"}),
    max_residues=2048,
    checkpoints=(
        _checkpoint("esm2-8m", "esm2_t6_8M_UR50D", (6, 320, 20), 7_512_474),
        _checkpoint("esm2-35m", "esm2_t12_35M_UR50D", (12, 480, 20), 33_501_394),
        _checkpoint("esm2-150m", "esm2_t30_150M_UR50D", (30, 640, 20), 148_140_154),
        _checkpoint("esm2-650m", "esm2_t33_650M_UR50D", (33, 1280, 20), 651_043_254),
        _checkpoint("esm2-3b", "esm2_t36_3B_UR50D", (36, 2560, 40), 2_839_005_634),
        _checkpoint("esm2-15b", "esm2_t48_15B_UR50D", (48, 5120, 40), 15_129_100_194),
    ),
    formats={TRANSFORMERS: _TRANSFORMERS, FAIR_ESM: _FAIR_ESM},
    build=Esm2,
    activation_bytes=_activation_bytes,
)
