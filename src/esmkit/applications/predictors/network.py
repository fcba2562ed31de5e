"""Predictors that `esmkit train` makes: a small network on representations, and what was changed in the base model.

    predictor.safetensors  the network (head.*), and with LoRA the changes (lora.<weight>.a and .b)
    model/                 the whole model in transformers' layout, where all of it was trained

Shape suffixes: n proteins or residues, F features, C outputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from esmkit.applications.predictors import lora
from esmkit.applications.predictors.card import Card, Task
from esmkit.applications.predictors.output import Fitted
from esmkit.errors import WeightsError
from esmkit.models.tensorfiles import tensors_of
from esmkit.types import FloatArray

TENSORS, MODEL = "predictor.safetensors", "model"


class Head(nn.Module):
    """A linear layer, or one hidden layer with GELU before it, between whitened features and labels.

    Features of a language model vary a thousand times more in some directions than in others, which gradient descent
    on a few labels would hardly see: so they come centred, and turned and scaled to like variance.

    Args:
        features: F.
        hidden: width of the hidden layer, 0 for none.
        outputs: C.
    """

    centre: torch.Tensor
    whitening: torch.Tensor
    offset: torch.Tensor
    unit: torch.Tensor

    def __init__(self, features: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.register_buffer("centre", torch.zeros(features))
        self.register_buffer("whitening", torch.eye(features))
        self.register_buffer("offset", torch.zeros(outputs))
        self.register_buffer("unit", torch.ones(outputs))
        before = [nn.Linear(features, hidden), nn.GELU()] if hidden else []
        self.layers = nn.Sequential(*before, nn.Linear(hidden or features, outputs))

    def forward(self, x_nF: torch.Tensor) -> torch.Tensor:
        """[n, F] -> [n, C]: numbers in the unit of the labels, or logits of classes."""
        z_nC: torch.Tensor = self.layers((x_nF - self.centre) @ self.whitening)
        return z_nC * self.unit + self.offset


class Network(Fitted):
    """A trained head with the changes of the base model that it was trained with.

    Args:
        head: the network.
        task: what its outputs mean.
        changes: by weight of the base model, A and B of LoRA.
        lora_scale: of these.
    """

    def __init__(
        self,
        head: Head,
        task: Task,
        changes: Mapping[str, tuple[torch.Tensor, torch.Tensor]] | None = None,
        lora_scale: float = 1.0,
    ) -> None:
        self.head, self.task = head.eval().requires_grad_(False), task
        self.changes, self.lora_scale = dict(changes or {}), lora_scale

    @property
    def changes_model(self) -> bool:
        """Whether it was trained with LoRA; a model that was trained as a whole is a base model of its own."""
        return bool(self.changes)

    @torch.inference_mode()
    def adapt(self, module: nn.Module) -> None:
        """Merges the changes into the weights."""
        for name, (a, b) in self.changes.items():
            weight = module.get_parameter(name)
            weight.copy_(lora.changed(weight, a.to(weight.device), b.to(weight.device), self.lora_scale))

    @torch.inference_mode()
    def answers(self, representations: FloatArray) -> FloatArray:
        """Numbers, or probabilities."""
        scores_nC = self.head(torch.from_numpy(np.asarray(representations, dtype=np.float32)))
        answers: FloatArray = (scores_nC.softmax(-1) if self.task.kind == "classification" else scores_nC).numpy()
        return answers

    def write(self, folder: Path) -> None:
        """Writes the tensors."""
        tensors = {f"head.{name}": tensor for name, tensor in self.head.state_dict().items()}
        for name, (a, b) in self.changes.items():
            tensors |= {f"lora.{name}.a": a, f"lora.{name}.b": b}
        save_file({name: tensor.cpu().contiguous() for name, tensor in tensors.items()}, folder / TENSORS)

    @classmethod
    def read(cls, folder: Path, card: Card) -> Network:
        """Reads the tensors.

        Raises:
            WeightsError: they are missing, damaged, not finite, or do not fit what predictor.json says.
        """
        path = folder / TENSORS
        tensors = {name: tensor.clone() for name, tensor in tensors_of(path).items()}
        bad = next((name for name, tensor in tensors.items() if not tensor.isfinite().all()), None)
        if bad is not None:
            raise WeightsError(f"{path}: {bad} holds NaN or Inf; train the predictor again", path=str(path))
        state = {name.removeprefix("head."): tensors.pop(name) for name in list(tensors) if name.startswith("head.")}
        try:
            head = Head(len(state["centre"]), card.settings["hidden"], card.task.num_outputs)
            head.load_state_dict(state)
            names = {name.removeprefix("lora.")[:-2] for name in tensors}
            changes = {name: (tensors[f"lora.{name}.a"], tensors[f"lora.{name}.b"]) for name in sorted(names)}
            adapter = card.settings["adapter"]
            return cls(head, card.task, changes, adapter["alpha"] / adapter["rank"] if changes else 1.0)
        except (KeyError, RuntimeError) as error:
            raise WeightsError(f"{path} does not fit predictor.json: {error}", path=str(path)) from error
