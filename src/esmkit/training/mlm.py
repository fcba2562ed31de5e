"""Masked-language-model training: what is special about it; the loop is that of every training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import nn

from esmkit.config import Settings
from esmkit.models.save import save_pretrained
from esmkit.models.weights import load
from esmkit.training.budget import Place
from esmkit.training.corpus import Corpus
from esmkit.training.folder import CPU, TrainingFolder
from esmkit.training.loop import Conduct, Training, differentiable_backend
from esmkit.training.masking import MaskedBatch
from esmkit.training.objective import summed_loss
from esmkit.training.recipe import Recipe
from esmkit.training.stream import Stream
from esmkit.training.validation import Validation
from esmkit.types import ModelShape


class MlmTraining(Training[MaskedBatch]):
    """One run, new or resumed.

    Args:
        module: what the run starts from, in fp32 on its device; a resumed run fills it from its last checkpoint.
        recipe: what decides the numbers.
        corpus: the data.
        folder: where the run is kept.
        held_out: sequences for validation, or None.
        conduct: how it is carried out.
    """

    def __init__(
        self,
        module: nn.Module,
        recipe: Recipe,
        corpus: Corpus,
        folder: TrainingFolder,
        *,
        held_out: Corpus | None = None,
        conduct: Conduct | None = None,
    ) -> None:
        assert isinstance(module.shape, ModelShape)
        self.stream = Stream(corpus, recipe.crop, recipe.batch_tokens, recipe.seed)
        self.validation = None if held_out is None else Validation(held_out, recipe.crop)
        self.head_dim = module.shape.head_dim
        self.backend = differentiable_backend(next(module.parameters()).device, recipe, self.head_dim)
        super().__init__(module, recipe, folder, conduct)
        if self.conduct.compiled:
            for block in module.get_submodule("blocks").children():
                block.compile(dynamic=True)

    @property
    def about(self) -> dict[str, Any]:
        """What a checkpoint says of itself in its config.json."""
        return {**self.conduct.about, "steps": self.position.step, "tokens": self.position.tokens}

    def batches(self, place: Place) -> Iterator[tuple[MaskedBatch, Place]]:
        """Crops with hidden residues."""
        return self.stream.batches(place.epoch, place.batch)

    def summed_loss(self, batch: MaskedBatch) -> torch.Tensor:
        """Cross-entropy of the hidden residues."""
        return summed_loss(self.module, batch, self.device, self.backend)

    def validate(self) -> Mapping[str, float]:
        """Loss, perplexity and accuracy on the held-out sequences, if there are any."""
        if self.validation is None:
            return {}
        with torch.compiler.set_stance("force_eager") if self.conduct.compiled else nullcontext():
            score = self.validation.score(self.module, self.head_dim)
        return {"validation_loss": score.loss, "perplexity": score.perplexity, "accuracy": score.accuracy}

    def write(self, folder: Path, *, dtype: torch.dtype | None = None) -> None:
        """The model, as `esmkit` and transformers open it."""
        save_pretrained(self.module, folder, dtype=dtype, about=self.about)

    def read(self, folder: Path) -> None:
        """The weights of a checkpoint."""
        saved = load(str(folder), settings=Settings(folder, offline=True), device=CPU, dtype=torch.float32)
        self.module.load_state_dict(saved.module.state_dict())
