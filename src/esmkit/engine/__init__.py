"""The engine: the only place that knows every stage, and the library's front door."""

from esmkit.engine.engine import Engine
from esmkit.engine.model import Model, Prediction, load

__all__ = ["Engine", "Model", "Prediction", "load"]
