"""esmkit: ESM-2 protein language models, fast and exact, on your own machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from esmkit.alphabet import ResiduePolicy
    from esmkit.applications.predictors import Predictor, load_predictor
    from esmkit.batching import LengthPolicy
    from esmkit.engine import Engine, Model, Prediction, load
    from esmkit.errors import EsmkitError
    from esmkit.outputs import OutputOptions
    from esmkit.types import Failure, Record, Result

__version__ = "0.1.0"
__all__ = [
    "Engine",
    "EsmkitError",
    "Failure",
    "LengthPolicy",
    "Model",
    "OutputOptions",
    "Prediction",
    "Predictor",
    "Record",
    "ResiduePolicy",
    "Result",
    "__version__",
    "load",
    "load_predictor",
]

_HOME_OF = {
    **dict.fromkeys(("Engine", "Model", "Prediction", "load"), "esmkit.engine"),
    "EsmkitError": "esmkit.errors",
    "LengthPolicy": "esmkit.batching",
    "OutputOptions": "esmkit.outputs",
    **dict.fromkeys(("Predictor", "load_predictor"), "esmkit.applications.predictors"),
    "ResiduePolicy": "esmkit.alphabet",
    **dict.fromkeys(("Failure", "Record", "Result"), "esmkit.types"),
}


def __getattr__(name: str) -> Any:
    """Public names are imported when first used, so that the command line and parsers need no torch (PEP 562)."""
    from importlib import import_module

    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)
