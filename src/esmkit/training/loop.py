"""The loop that every kind of training shares: steps, budget, validations, checkpoints, the log.

Weights, optimizer and residual stream are fp32; with precision bfloat16 the products of a pass are made in 16 bit.
There is no other source of chance than the seed, so a run on a CPU that was killed and resumed gives the numbers of an
undisturbed one, bit for bit. On a GPU the backward pass of attention adds in any order, and only nearly the same comes
out.
"""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence, Sized
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import nn

from esmkit.engine.prefetch import prefetch
from esmkit.errors import ModelExecutionError
from esmkit.layers.attention import choose_backend
from esmkit.training.budget import Place
from esmkit.training.folder import TrainingFolder
from esmkit.training.recipe import Recipe

BETAS, EPSILON = (0.9, 0.98), 1e-8
"""Of AdamW, as in ESM-2."""
AHEAD = 4
"""Batches that are made before they are needed."""
UNSEEN_STEPS = 20
"""Steps on a GPU whose loss is fetched together, so that it never waits for the host."""

Observer = Callable[[Mapping[str, Any], float], None]
"""Sees every line of the log, and the share of the budget that is used."""


class Batch(Protocol):
    """What goes through the model at once."""

    @property
    def tokens(self) -> Sized:
        """What the model sees."""

    @property
    def targets(self) -> Sized:
        """What there is to learn."""


B = TypeVar("B", bound=Batch)


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


class Training(ABC, Generic[B]):
    """One run, new or resumed. A subclass is ready to `read` before it calls this constructor.

    Args:
        module: what is trained, in fp32 on its device: its parameters with gradients.
        recipe: what decides the numbers.
        folder: where the run is kept; a run that is resumed fills `module` from its last checkpoint.
        conduct: how it is carried out.
    """

    def __init__(self, module: nn.Module, recipe: Recipe, folder: TrainingFolder, conduct: Conduct | None) -> None:
        self.module, self.recipe, self.folder = module, recipe, folder
        self.conduct = conduct or Conduct()
        self.device = next(module.parameters()).device
        self.optimizer = _optimizer(module, recipe)
        self.position = folder.restore(self.read, self.optimizer)
        self._unseen: list[tuple[dict[str, Any], torch.Tensor]] = []
        self._side_by_side = _pool(recipe.accumulate) if self.device.type == "cpu" else None

    @abstractmethod
    def batches(self, place: Place) -> Iterator[tuple[B, Place]]:
        """Endless batches from a place on, each with the place after it."""

    @abstractmethod
    def summed_loss(self, batch: B) -> torch.Tensor:
        """The loss, summed over the targets of a batch."""

    @abstractmethod
    def validate(self) -> Mapping[str, Any]:
        """How good the model is by now: `validation_loss` and what else belongs into the log; empty without a set."""

    @abstractmethod
    def write(self, folder: Path) -> None:
        """Makes a folder with what is trained."""

    @abstractmethod
    def read(self, folder: Path) -> None:
        """Takes what `write` left."""

    @property
    def share(self) -> float:
        """How much of the budget is used, 0 to 1."""
        return self.recipe.budget.share(self.position)

    @property
    def is_complete(self) -> bool:
        """Whether there is nothing left to do."""
        return self.share >= 1

    def run(self) -> bool:
        """Trains until the run is complete or `stop` says so, and leaves a checkpoint behind.

        Returns:
            Whether it is complete.

        Raises:
            ModelExecutionError: the loss is no number any more; the last checkpoint is from before.
        """
        started = time.perf_counter() - self.position.seconds
        saved_at = self.position.seconds
        with closing(prefetch(self.batches(self.position.place), depth=AHEAD)) as batches:
            while not self.is_complete and not self.conduct.stop():
                share = self.share
                self._step(batches, share)
                self.position.seconds = time.perf_counter() - started
                self._validate(share)
                if self.position.seconds - saved_at >= self.conduct.checkpoint_seconds:
                    self.save()
                    saved_at = self.position.seconds
        self.save()
        return self.is_complete

    def save(self) -> None:
        """Writes a checkpoint, once the losses up to here are known to be numbers."""
        self._tell()
        self.folder.save(self.write, self.optimizer, self.position)

    def precision(self) -> Any:
        """The context of a pass."""
        is_low = self.recipe.precision == "bfloat16"
        return torch.autocast(self.device.type, torch.bfloat16) if is_low else nullcontext()

    def _step(self, batches: Iterator[tuple[B, Place]], share: float) -> None:
        rate = self.recipe.rate(self.position.step, share)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        passes = list(islice(batches, self.recipe.accumulate))
        targets = sum(len(batch.targets) for batch, _ in passes)
        loss = self._learn([batch for batch, _ in passes], targets)
        norm = nn.utils.clip_grad_norm_(self._trained(), self.recipe.clip, foreach=True)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.position.step += 1
        self.position.tokens += sum(len(batch.tokens) for batch, _ in passes)
        self.position.place = passes[-1][1]
        self._unseen.append((self._line(learning_rate=rate), torch.stack([loss, norm])))
        if self.device.type == "cpu" or len(self._unseen) >= UNSEEN_STEPS:
            self._tell()

    def _learn(self, passes: Sequence[B], targets: int) -> torch.Tensor:
        """Leaves the gradients of the mean loss over the passes of a step; returns that loss.

        On a CPU the passes are made side by side, each on its share of the threads, and added in their order: small
        layers leave several cores idle in one pass.
        """
        trained = self._trained()

        def gradients(batch: B) -> tuple[torch.Tensor, tuple[torch.Tensor | None, ...]]:
            with self.precision():
                part = self.summed_loss(batch) / targets
            return part.detach(), torch.autograd.grad(part, trained, allow_unused=True)

        loss = torch.zeros((), device=self.device)
        for part, found in (map if self._side_by_side is None else self._side_by_side.map)(gradients, passes):
            loss += part
            for parameter, gradient in zip(trained, found, strict=True):
                if gradient is not None:
                    parameter.grad = gradient if parameter.grad is None else parameter.grad.add_(gradient)
        return loss

    def _validate(self, before: float) -> None:
        """Scores the held-out set when another part of the budget is used up, and at its end."""
        if self._part(self.share) == self._part(before):
            return
        self._tell()
        if facts := self.validate():
            self._log([self._line(**facts)])

    def _part(self, share: float) -> int:
        return math.floor(share * self.recipe.validations + 1e-9)  # (3 / 49) * 49 is less than 3

    def _line(self, **facts: Any) -> dict[str, Any]:
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
            self.conduct.observe(line, self.share)

    def _trained(self) -> list[torch.Tensor]:
        return [parameter for group in self.optimizer.param_groups for parameter in group["params"]]


def differentiable_backend(device: torch.device, recipe: Recipe, head_dim: int) -> str:
    """The fastest attention that gradients flow through."""
    best = choose_backend("auto", device, getattr(torch, recipe.precision), head_dim)
    return best if best == "varlen" else "sdpa"


def _pool(passes: int) -> ThreadPoolExecutor | None:
    """Threads for the passes of a step that share torch's threads evenly; None where one pass may have them all."""
    threads = torch.get_num_threads()
    workers = min(passes, threads)
    if workers == 1:
        return None
    return ThreadPoolExecutor(workers, initializer=partial(torch.set_num_threads, threads // workers))


def _optimizer(module: nn.Module, recipe: Recipe) -> torch.optim.AdamW:
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    groups = [
        {"params": [parameter for parameter in trained if parameter.dim() > 1], "weight_decay": recipe.weight_decay},
        {"params": [parameter for parameter in trained if parameter.dim() == 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=BETAS, eps=EPSILON, fused=True)
