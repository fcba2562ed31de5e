"""Predictors of measured properties: a folder of `predictor.json` and the numbers beside it, on top of a base model.

`card` is what predictor.json says, `output` how answers leave the engine, `predictor` the loader. Every kind of
predictor is a module with a `Fitted`, named in `predictor.KINDS`; `network` is what `esmkit train` makes,
`estimator` what `esmkit fit` makes.
"""

from esmkit.applications.predictors.card import Base, Card, Task
from esmkit.applications.predictors.predictor import Predictor, Saved, load_predictor, read_predictor

__all__ = ["Base", "Card", "Predictor", "Saved", "Task", "load_predictor", "read_predictor"]
