"""The programs that are measured inside this process, all on the same torch: esmkit, transformers, fair-esm.

Each gives one mean embedding of the last layer per sequence, over residues only, in the order of the records.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

import esmkit
from benches.policies import Batches, padding
from benches.timing import Array, Peer, timed
from esmkit.alphabet import tokenize
from esmkit.engine.runner import RowOutcome
from esmkit.models.base import FAIR_ESM
from esmkit.models.registry import families
from esmkit.outputs import OutputOptions, build
from esmkit.types import Record, Row

BASELINE, LEAST_PADDING = "transformers_tuned", "transformers_least_padding"
FAIR_ESM_TOKENS = 4096


def token_lengths(records: Sequence[Record]) -> list[int]:
    """Tokens of each record, cls and eos included."""
    return [len(record.sequence) + 2 for record in records]


def embed(model: esmkit.Model, records: Sequence[Record]) -> Array:
    """Mean embeddings by esmkit, float32 [n, D]."""
    outputs = build(["mean"], model.shape, OutputOptions())
    column = f"mean_{model.shape.num_layers}"
    results = model.engine.run(records, outputs)
    return np.stack([result.arrays[column] for result in results if isinstance(result, esmkit.Result)])


def logits(model: esmkit.Model, records: Sequence[Record]) -> Array:
    """Logits of all 33 tokens by esmkit, float32 [residues of all records, 33]."""
    return np.concatenate(model.logits([record.sequence for record in records], vocabulary="full"))


def esmkit_library(model: esmkit.Model, records: Sequence[Record]) -> Peer:
    """The engine, records in and numpy arrays out."""
    return Peer(
        "esmkit", "Engine.run on records, as esmkit.load gives it", timed("esmkit", lambda: embed(model, records))
    )


def esmkit_step(model: esmkit.Model, records: Sequence[Record]) -> Callable[[], list[RowOutcome]]:
    """One batch on the calling thread: what the engine does for each, without reading ahead and putting in order."""
    rows, names = [Row(tokenize(record.sequence)) for record in records], [record.id for record in records]
    outputs = build(["mean"], model.shape, OutputOptions())
    return lambda: model.engine.runner.run(rows, names, outputs)


class Transformers:
    """transformers' EsmModel and its tokenizer.

    Args:
        folder: the weights.
        attention: sdpa, or flash_attention_2 where flash-attn is installed.
    """

    def __init__(
        self, folder: Path, *, attention: str = "sdpa", device: str = "cpu", dtype: torch.dtype = torch.float32
    ) -> None:
        from transformers import EsmModel, EsmTokenizer, logging

        logging.set_verbosity_error()  # type: ignore[no-untyped-call]  # it reports at length that it needs no LM head
        logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        self.device = device
        self.tokenizer = EsmTokenizer.from_pretrained(folder)
        loaded: Any = EsmModel.from_pretrained(
            folder, add_pooling_layer=False, attn_implementation=attention, dtype=dtype, local_files_only=True
        )
        self.model = loaded.eval().to(device)

    def tokenize(self, sequences: list[str]) -> dict[str, torch.Tensor]:
        """One padded batch, on the CPU."""
        return dict(self.tokenizer(sequences, return_tensors="pt", padding=True))

    @torch.inference_mode()
    def mean(self, tokens: dict[str, torch.Tensor]) -> torch.Tensor:
        """Mean over residues, fp32 [R, D], on the device."""
        moved = {name: tensor.to(self.device, non_blocking=True) for name, tensor in tokens.items()}
        hidden = self.model(**moved).last_hidden_state
        weights = moved["attention_mask"].clone()
        lengths = weights.sum(1)
        weights[:, 0] = 0
        weights[torch.arange(len(weights), device=weights.device), lengths - 1] = 0
        return torch.einsum("rsd,rs->rd", hidden.float(), weights.float()) / (lengths - 2)[:, None]

    def embed(self, records: Sequence[Record], batches: Batches) -> Array:
        """Tokenizes and runs batch by batch."""
        embeddings: list[Any] = [None] * len(records)
        for batch in batches:
            means = self.mean(self.tokenize([records[index].sequence for index in batch])).cpu().numpy()
            for index, vector in zip(batch, means, strict=True):
                embeddings[index] = vector
        return np.stack(embeddings)

    def peer(self, name: str, what: str, records: Sequence[Record], batches: Batches) -> Peer:
        """This model with one way of making batches."""
        run = timed(name, lambda: self.embed(records, batches))
        return Peer(name, what, run, padding(token_lengths(records), batches))


def fair_esm(model: esmkit.Model, records: Sequence[Record]) -> Peer:
    """The policy of fair-esm's scripts/extract.py, without its writing of one file per protein.

    Sorted, FAIR_ESM_TOKENS padded tokens per batch, LM head always computed, the last layer averaged per sequence.
    """
    from esm import Alphabet, FastaBatchedDataset
    from esm.model.esm2 import ESM2

    shape = model.shape
    alphabet = Alphabet.from_architecture("ESM-1b")
    reference = ESM2(shape.num_layers, shape.width, shape.num_heads, alphabet, token_dropout=True).eval()
    reference.load_state_dict(_fair_esm_tensors(model), strict=False, assign=True)
    convert = alphabet.get_batch_converter()
    dataset = FastaBatchedDataset([str(index) for index in range(len(records))], [r.sequence for r in records])
    batches = dataset.get_batch_indices(FAIR_ESM_TOKENS, extra_toks_per_seq=1)

    @torch.inference_mode()
    def compute() -> Array:
        embeddings: list[Any] = [None] * len(records)
        for batch in batches:
            labels, sequences, tokens = convert([dataset[index] for index in batch])
            out = reference(tokens, repr_layers=[shape.num_layers], return_contacts=False)
            hidden = out["representations"][shape.num_layers].to(device="cpu")
            for row, (label, sequence) in enumerate(zip(labels, sequences, strict=True)):
                embeddings[int(label)] = hidden[row, 1 : len(sequence) + 1].mean(0).clone().numpy()
        return np.stack(embeddings)

    what = "policy of scripts/extract.py: sorted, 4,096 tokens per batch, LM head always; its files are not written"
    return Peer("fair_esm", what, timed("fair_esm", compute), padding(token_lengths(records), batches))


def _fair_esm_tensors(model: esmkit.Model) -> dict[str, torch.Tensor]:
    """The weights under fair-esm's names, without copies."""
    keys = families()["esm2"].formats[FAIR_ESM].keys
    tensors: dict[str, torch.Tensor] = {}
    for parameter, tensor in model.engine.loaded.module.named_parameters():
        names = keys.names(parameter)
        tensors.update(zip(names, tensor.detach().chunk(len(names)), strict=True))
    return {**tensors, "lm_head.weight": tensors["embed_tokens.weight"]}
