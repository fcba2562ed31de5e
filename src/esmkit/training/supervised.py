"""Training on labels: a head alone, or a head and the model below it; the best weights on the valid part are kept."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from safetensors.torch import load_file, save_file
from torch import nn

from esmkit.applications.predictors import Base, Card, lora
from esmkit.applications.predictors.network import MODEL, Head, Network
from esmkit.errors import ModelExecutionError
from esmkit.models.digests import combined, sha256_of
from esmkit.models.save import save_pretrained
from esmkit.sinks.files import write_whole
from esmkit.training import metrics
from esmkit.training.budget import Place
from esmkit.training.dataset import LabelledBatch, LabelledSet, LabelledStream
from esmkit.training.features import Features
from esmkit.training.folder import TrainingFolder
from esmkit.training.loop import Conduct, Training
from esmkit.training.recipe import Recipe

PRODUCT, METRICS = "predictor", "metrics.json"
TRAINED, BEST = "trained.safetensors", "best.safetensors"


@dataclass(frozen=True, slots=True)
class Adapter:
    """How the model below the head is changed.

    Attributes:
        kind: `none`, `lora` or `full`.
        rank: of LoRA.
        alpha: of LoRA: its changes count alpha / rank.
    """

    kind: Literal["none", "lora", "full"] = "none"
    rank: int = 0
    alpha: float = 0.0


@dataclass(frozen=True, slots=True)
class Design:
    """What is trained, apart from the recipe: it stands in predictor.json.

    Attributes:
        base: the model that it starts from, its provenance.
        layers: layers, 0..N, whose representations are joined.
        hidden: width of the hidden layer of the head, 0 for none.
        adapter: how the model is changed.
        long: the length policy of the training data.
    """

    base: Mapping[str, Any]
    layers: tuple[int, ...]
    hidden: int
    adapter: Adapter
    long: Mapping[str, Any]


class LabelTraining(Training[LabelledBatch]):
    """One run, new or resumed.

    Args:
        head: as it is at the start.
        module: the model below it, if that is trained too: with gradients where it is.
        features: what the head sees.
        data: the labelled proteins.
        design: what is trained.
        recipe: what decides the numbers.
        folder: where the run is kept.
        conduct: how it is carried out.
    """

    def __init__(
        self,
        head: Head,
        module: nn.Module | None,
        features: Features,
        data: LabelledSet,
        design: Design,
        recipe: Recipe,
        folder: TrainingFolder,
        *,
        conduct: Conduct | None = None,
    ) -> None:
        self.head, self.below, self.features, self.data, self.design = head, module, features, data, design
        self.stream = LabelledStream(data, recipe.batch_tokens, recipe.seed)
        self.best: dict[str, torch.Tensor] = {}
        both = nn.ModuleDict({"head": head, "model": module} if module is not None else {"head": head})
        super().__init__(both, recipe, folder, conduct)

    @property
    def is_complete(self) -> bool:
        """Whether the budget is used, or the valid part has not been predicted better for a while."""
        patience = self.recipe.patience
        return super().is_complete or (patience is not None and self.position.waited >= patience)

    def run(self) -> bool:
        """As every training, from the score of the start on."""
        if not self.best:
            self._log([self._line(**self.validate())])
        return super().run()

    def batches(self, place: Place) -> Iterator[tuple[LabelledBatch, Place]]:
        """The train part."""
        return self.stream.batches(place.epoch, place.batch)

    def summed_loss(self, batch: LabelledBatch) -> torch.Tensor:
        """Squared errors in units of the labels' standard deviation, or cross-entropies in nats."""
        return self._loss(*self._scored(batch))

    def validate(self) -> Mapping[str, Any]:
        """Loss and metrics of the valid part; keeps the weights if they are the best so far."""
        facts = self.score("valid")
        loss, position = facts.pop("loss"), self.position
        if loss < position.best_loss:
            self.best = {name: tensor.detach().cpu().clone() for name, tensor in self._state().items()}
            position.best_loss, position.best_step, position.waited = loss, position.step, 0
        else:
            position.waited += 1
        return {"validation_loss": loss, **facts}

    @torch.inference_mode()
    def score(self, part: str) -> dict[str, Any]:
        """Loss and metrics of a part of the data, in fp32."""
        loss, answers, targets = 0.0, [], []
        for batch in self.data.batches(part, self.recipe.batch_tokens):
            scores, wanted = self._scored(batch)
            loss += float(self._loss(scores, wanted))
            answers.append((scores.softmax(-1) if self.data.task.classes else scores).cpu().numpy())
            targets.append(batch.targets)
        if not math.isfinite(loss):
            raise ModelExecutionError(
                f"after step {self.position.step} the loss of the {part} part is {loss}; begin again in another --out "
                "with a lower --learning-rate"
            )
        truth: Any = np.concatenate(targets)
        return {"loss": loss / len(truth), **metrics.score(self.data.task, np.concatenate(answers), truth)}

    def write(self, folder: Path) -> None:
        """The trained weights, those of now and the best so far."""
        folder.mkdir()
        save_file({name: tensor.detach().contiguous() for name, tensor in self._state().items()}, folder / TRAINED)
        save_file(self.best, folder / BEST)

    def read(self, folder: Path) -> None:
        """Both."""
        self._fill(load_file(folder / TRAINED))
        self.best = load_file(folder / BEST)

    def finish(self) -> Card:
        """Scores the best weights and saves them as a predictor, once.

        Returns:
            What predictor.json says.
        """
        if not self.folder.product.exists():
            self._fill(self.best)
            found = {part: self.score(part) | self._sizes(part) for part in self.data.parts if part != "train"}
            found["train"] = self._sizes("train")
            self.folder.finish(lambda folder: self._write_predictor(folder, found))
        card = Card.read(self.folder.product)
        write_whole(self.folder.path / METRICS, json.dumps(card.metrics, indent=1) + "\n")
        return card

    def _scored(self, batch: LabelledBatch) -> tuple[torch.Tensor, torch.Tensor]:
        """What the head says of the labelled lines, and what it should say."""
        x_nF = self.features(batch)
        with torch.autocast(x_nF.device.type, enabled=False):
            scores_nC = self.head(x_nF)
        labelled, targets = (torch.from_numpy(each).to(x_nF.device) for each in (batch.labelled, batch.targets))
        return scores_nC[labelled], targets

    def _loss(self, scores_nC: torch.Tensor, targets_n: torch.Tensor) -> torch.Tensor:
        if self.data.task.classes:
            return F.cross_entropy(scores_nC, targets_n, reduction="sum")
        return ((scores_nC[:, 0] - targets_n) / self.head.unit).square().sum()

    def _state(self) -> dict[str, torch.Tensor]:
        return {name: value for name, value in self.module.named_parameters() if value.requires_grad}

    def _fill(self, state: Mapping[str, torch.Tensor]) -> None:
        self.module.load_state_dict(state, strict=False)

    def _sizes(self, part: str) -> dict[str, int]:
        return {"proteins": len(self.data.parts[part]), "labels": len(self.data.labels(part))}

    def _write_predictor(self, folder: Path, found: Mapping[str, Any]) -> None:
        from esmkit import __version__

        folder.mkdir()
        base = Base(*(self.design.base[name] for name in ("slug", "source", "weights_sha256")))
        changes: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
        if self.below is not None and self.design.adapter.kind == "full":
            base = _save_model(self.below, folder, base)
        elif self.below is not None:
            changes = {name: (change.a.detach(), change.b.detach()) for name, change in lora.changes(self.below)}
        Network(self.head, self.data.task, changes).write(folder)
        Card(
            kind="network",
            task=self.data.task,
            base=base,
            layers=self.design.layers,
            pooling="mean" if self.data.task.level == "sequence" else "none",
            settings={"hidden": self.design.hidden, "adapter": asdict(self.design.adapter)},
            metrics=found,
            provenance={
                "esmkit": __version__,
                "torch": torch.__version__,
                "start": dict(self.design.base),
                "recipe": asdict(self.recipe),
                "long": dict(self.design.long),
                "data_sha256": self.data.sha256(),
                "drawn_at_random": list(self.data.drawn),
                "best_step": self.position.best_step,
                "steps": self.position.step,
            },
        ).write(folder)


def _save_model(module: nn.Module, folder: Path, base: Base) -> Base:
    """The whole model beside the head; from then on it is the base."""
    slug = f"{base.slug}-finetuned"
    save_pretrained(module, folder / MODEL, about={"slug": slug})
    files = {path.name: sha256_of(path) for path in (folder / MODEL).glob("*.safetensors")}
    return Base(slug, MODEL, combined(files))
