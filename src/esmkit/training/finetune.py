"""Where training on labels starts: a new head on a frozen model, or a trained head and a model that may change.

Fine-tuning begins with the head that was best on the frozen model: a head that knows nothing would spoil the model
before it has learnt something (Kumar et al. 2022, arXiv:2202.10054).
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from esmkit.applications.predictors import lora, read_predictor
from esmkit.applications.predictors.network import Head, Network
from esmkit.engine import Model
from esmkit.training.dataset import LabelledSet
from esmkit.training.features import FrozenFeatures, ModelFeatures
from esmkit.training.folder import TrainingFolder
from esmkit.training.loop import Conduct
from esmkit.training.recipe import Recipe
from esmkit.training.supervised import Adapter, Design, LabelTraining
from esmkit.types import FloatArray

NOISE = 0.01
"""Share of a feature's variance that is too little to be turned into a feature of its own."""


def identity(data: LabelledSet, design: Design, recipe: Recipe) -> dict[str, Any]:
    """What a resumed run must have in common with the one that it resumes."""
    about = {"task": asdict(data.task), "data_sha256": data.sha256()}
    base = {name: design.base[name] for name in ("slug", "weights_sha256")}
    return {"recipe": asdict(recipe), "data": about, "design": asdict(design) | {"base": base}}


def on_frozen_model(
    features: FrozenFeatures,
    data: LabelledSet,
    design: Design,
    recipe: Recipe,
    folder: TrainingFolder,
    conduct: Conduct | None = None,
) -> LabelTraining:
    """The training of a head alone.

    Args:
        features: of all proteins.
        data: the labelled proteins.
        design: what is trained; its adapter is `none`.
        recipe: what decides the numbers.
        folder: where the run is kept.
        conduct: how it is carried out.
    """
    head = new_head(data, features, design.hidden, recipe.seed)
    return LabelTraining(head, None, features, data, design, recipe, folder, conduct=conduct)


def on_model_in_training(
    model: Model,
    start: Path,
    data: LabelledSet,
    design: Design,
    recipe: Recipe,
    folder: TrainingFolder,
    conduct: Conduct | None = None,
) -> LabelTraining:
    """The training of a head and of the model below it.

    Args:
        model: in fp32; it is changed in place.
        start: the predictor whose head it starts with.
        data: the labelled proteins.
        design: what is trained; its adapter is `lora` or `full`.
        recipe: what decides the numbers.
        folder: where the run is kept.
        conduct: how it is carried out.
    """
    module, network = model.engine.loaded.module, read_predictor(start).fitted
    assert isinstance(network, Network)
    make_trainable(module, design.adapter, last=max(design.layers), seed=recipe.seed)
    device = next(module.parameters()).device
    head = network.head.to(device).requires_grad_(True)
    features = ModelFeatures(module, design.layers, recipe)
    return LabelTraining(head, module, features, data, design, recipe, folder, conduct=conduct)


def make_trainable(module: nn.Module, adapter: Adapter, *, last: int, seed: int) -> None:
    """Gradients for what an adapter changes: LoRA on the blocks below layer `last`, or all that this layer rests on."""
    blocks = list(module.get_submodule("blocks").children())
    if adapter.kind == "lora":
        lora.add(module, blocks=last, rank=adapter.rank, alpha=adapter.alpha, seed=seed)
        return
    module.requires_grad_(False)
    used = [module.get_submodule("embedding"), *blocks[:last]]
    if last == len(blocks):
        used.append(module.get_submodule("final_norm"))
    for part in used:
        part.requires_grad_(True)


def whitening(covariance: FloatArray) -> FloatArray:
    """The matrix [F, F] that features are multiplied with, so that their variances are equal and nothing correlates.

    Features are first brought to unit variance each; directions with less than NOISE of that stay small.
    """
    deviation = np.sqrt(covariance.diagonal())
    deviation = np.where(deviation < 1e-6, 1.0, deviation)
    variances, directions = np.linalg.eigh(covariance / np.outer(deviation, deviation))
    return np.asarray(directions / np.sqrt(np.maximum(variances, 0.0) + NOISE) / deviation[:, None])


def new_head(data: LabelledSet, features: FrozenFeatures, hidden: int, seed: int) -> Head:
    """A head that whitens its features, and at first predicts the mean label, or all classes alike."""
    centre, covariance = features.moments(data.parts["train"].tolist())
    head = Head(len(centre), hidden, data.task.num_outputs)
    head.centre.copy_(torch.from_numpy(centre))
    head.whitening.copy_(torch.from_numpy(whitening(covariance)))
    if data.task.kind == "regression":
        labels = data.labels("train").astype(np.float64)
        head.offset.fill_(float(labels.mean()))
        head.unit.fill_(float(labels.std()) or 1.0)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for layer in head.layers:
            if isinstance(layer, nn.Linear):
                layer.weight.normal_(0.0, layer.in_features**-0.5, generator=generator)
                layer.bias.zero_()
        head.layers[-1].get_parameter("weight").zero_()
    return head
