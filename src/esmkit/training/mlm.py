"""Masked-language-model training: the loop.

Weights, optimizer and residual stream are fp32; with precision bfloat16 the products of a pass are made in 16 bit.
There is no other source of chance than the seed, so a run on a CPU that was killed and resumed gives the numbers of an
undisturbed one, bit for bit. On a GPU the backward pass of attention adds in any order, and only nearly the same comes
out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import torch
from torch import nn

from esmkit.engine.prefetch import prefetch
from esmkit.errors import ModelExecutionError
from esmkit.layers.attention import choose_backend
from esmkit.training.budget import Place
from esmkit.training.corpus import Corpus
from esmkit.training.folder import TrainingFolder
from esmkit.training.masking import MaskedBatch
from esmkit.training.objective import summed_loss
from esmkit.training.recipe import Recipe
from esmkit.training.stream import Stream
from esmkit.training.validation import Validation
from esmkit.types import ModelShape

BETAS, EPSILON = (0.9, 0.98), 1e-8
"""Of AdamW, as in ESM-2."""
AHEAD = 4
"""Batches that are made before they are needed."""
UNSEEN_STEPS = 20
"""Steps on a GPU whose loss is fetched together, so that it never waits for the host."""

Observer = Callable[[Mapping[str, Any], float], None]
"""Sees every line of the log, and the share of the budget that is used."""


@dataclass(frozen=True, slots=True)
class Conduct:
    """How a run is carried out; changes no number of it but those of time.

    Attributes:
        checkpoint_seconds: between two checkpoints, at least.
        compiled: compile the layers with torch.compile: minutes at the start, then fewer and larger kernels.
        about: what its models say of themselves, see `save_pretrained`.
        stop: asked after every step whether to leave.
        observe: sees the log as it grows.
    """

    checkpoint_seconds: float = 300.0
    compiled: bool = False
    about: Mapping[str, Any] = field(default_factory=dict)
    stop: Callable[[], bool] = lambda: False
    observe: Observer = lambda line, share: None


class MlmTraining:
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
        self.module, self.recipe, self.folder = module, recipe, folder
        self.stream = Stream(corpus, recipe.crop, recipe.batch_tokens, recipe.seed)
        self.validation = None if held_out is None else Validation(held_out, recipe.crop)
        self.conduct = conduct or Conduct()
        self.device = next(module.parameters()).device
        self.head_dim = module.shape.head_dim
        self.backend = _backend(self.device, recipe, self.head_dim)
        self.optimizer = _optimizer(module, recipe)
        self.position = folder.restore(module, self.optimizer)
        self._unseen: list[tuple[dict[str, Any], torch.Tensor]] = []
        if self.conduct.compiled:
            for block in module.get_submodule("blocks").children():
                block.compile(dynamic=True)

    def run(self) -> bool:
        """Trains until the budget is used or `stop` says so, and leaves a checkpoint behind.

        Returns:
            Whether the budget is used.

        Raises:
            ModelExecutionError: the loss is no number any more; the last checkpoint is from before.
        """
        place = self.position.place
        started = time.perf_counter() - self.position.seconds
        saved_at = self.position.seconds
        with closing(prefetch(self.stream.batches(place.epoch, place.batch), depth=AHEAD)) as batches:
            while (share := self.recipe.budget.share(self.position)) < 1 and not self.conduct.stop():
                self._step(batches, share)
                self.position.seconds = time.perf_counter() - started
                self._validate(share)
                if self.position.seconds - saved_at >= self.conduct.checkpoint_seconds:
                    self.save()
                    saved_at = self.position.seconds
        self.save()
        return self.recipe.budget.share(self.position) >= 1

    @property
    def about(self) -> dict[str, Any]:
        """What a checkpoint says of itself in its config.json."""
        return {**self.conduct.about, "steps": self.position.step, "tokens": self.position.tokens}

    def save(self) -> None:
        """Writes a checkpoint, once the losses up to here are known to be numbers."""
        self._tell()
        self.folder.save(self.module, self.optimizer, self.position, about=self.about)

    def _step(self, batches: Iterator[tuple[MaskedBatch, Place]], share: float) -> None:
        rate = self.recipe.rate(self.position.step, share)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        passes = list(islice(batches, self.recipe.accumulate))
        guessed = sum(len(batch.targets) for batch, _ in passes)
        loss = torch.zeros((), device=self.device)
        for batch, _ in passes:
            with self._precision():
                part = summed_loss(self.module, batch, self.device, self.backend) / guessed
            part.backward()  # type: ignore[no-untyped-call]
            loss += part.detach()
        norm = nn.utils.clip_grad_norm_(self._trained(), self.recipe.clip, foreach=True)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.position.step += 1
        self.position.tokens += sum(len(batch.tokens) for batch, _ in passes)
        self.position.place = passes[-1][1]
        self._unseen.append((self._line(learning_rate=rate), torch.stack([loss, norm])))
        if self.device.type == "cpu" or len(self._unseen) >= UNSEEN_STEPS:
            self._tell()

    def _validate(self, before: float) -> None:
        """Scores the held-out set when another part of the budget is used up, and at its end."""
        share, parts = self.recipe.budget.share(self.position), self.recipe.validations
        if self.validation is None or int(share * parts) == int(before * parts):
            return
        self._tell()
        with torch.compiler.set_stance("force_eager") if self.conduct.compiled else nullcontext():
            score = self.validation.score(self.module, self.head_dim)
        facts = {"validation_loss": score.loss, "perplexity": score.perplexity, "accuracy": score.accuracy}
        self._log([self._line(**facts)])

    def _line(self, **facts: float) -> dict[str, Any]:
        position = self.position
        where = {"step": position.step, "tokens": position.tokens, "epochs": round(position.place.epochs, 6)}
        return {**where, **facts, "seconds": round(position.seconds, 3)}

    def _tell(self) -> None:
        """Fetches the losses of the last steps from the device, and logs them."""
        lines = []
        for line, values in self._unseen:
            loss, norm = values.tolist()
            if not (loss < float("inf") and norm < float("inf")):
                raise ModelExecutionError(
                    f"at step {line['step']} the loss is {loss}, the norm of its gradient {norm}; "
                    "begin again in another --out with a lower --learning-rate"
                )
            lines.append(line | {"loss": loss, "gradient_norm": norm})
        self._unseen.clear()
        self._log(lines)

    def _log(self, lines: list[dict[str, Any]]) -> None:
        self.folder.log(lines)
        for line in lines:
            self.conduct.observe(line, self.recipe.budget.share(self.position))

    def _precision(self) -> Any:
        is_low = self.recipe.precision == "bfloat16"
        return torch.autocast(self.device.type, torch.bfloat16) if is_low else nullcontext()

    def _trained(self) -> list[torch.Tensor]:
        return [parameter for group in self.optimizer.param_groups for parameter in group["params"]]


def _backend(device: torch.device, recipe: Recipe, head_dim: int) -> str:
    """The fastest back end that gradients flow through."""
    best = choose_backend("auto", device, getattr(torch, recipe.precision), head_dim)
    return best if best == "varlen" else "sdpa"


def _optimizer(module: nn.Module, recipe: Recipe) -> torch.optim.AdamW:
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    groups = [
        {"params": [parameter for parameter in trained if parameter.dim() > 1], "weight_decay": recipe.weight_decay},
        {"params": [parameter for parameter in trained if parameter.dim() == 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=BETAS, eps=EPSILON, fused=True)
