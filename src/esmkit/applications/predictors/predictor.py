"""Opening a predictor and putting it on its base model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from esmkit.applications.predictors.card import CARD, Card
from esmkit.applications.predictors.estimator import Estimator
from esmkit.applications.predictors.network import Network
from esmkit.applications.predictors.output import Fitted, Property
from esmkit.engine.model import Model, Sequences, load
from esmkit.errors import InvalidConfigError, WeightsError
from esmkit.inputs import from_sequences
from esmkit.models.digests import combined, sha256_of
from esmkit.outputs import OutputOptions
from esmkit.types import ModelShape, Result

KINDS: dict[str, Callable[[Path, Card], Fitted]] = {"network": Network.read, "estimator": Estimator.read}
"""How each kind of predictor is read from its folder."""


@dataclass(frozen=True, slots=True)
class Saved:
    """A predictor without its base model.

    Attributes:
        folder: where it is.
        card: what it predicts, from which model.
        fitted: what was learnt.
        sha256: of its files `predictor.*`.
    """

    folder: Path
    card: Card
    fitted: Fitted
    sha256: str

    @property
    def base(self) -> str:
        """The path or name of the base model."""
        return self.card.base.locate(self.folder)

    def put_on(self, model: Model, *, probabilities: bool = True) -> Property:
        """Adapts the base model, which from then on is good for this predictor only.

        Args:
            model: the base model, fresh.
            probabilities: whether those of classes are wanted.

        Returns:
            The output to ask the engine for.

        Raises:
            InvalidConfigError: it is another model than the one that the predictor was trained on.
        """
        self.check(model.provenance)
        self.fitted.adapt(model.engine.loaded.module)
        model.engine.provenance["predictor_sha256"] = self.sha256
        return self.output(model.shape, probabilities=probabilities)

    def output(self, shape: ModelShape, *, probabilities: bool = True) -> Property:
        """What to ask an engine for, once its model is adapted."""
        return Property(
            shape,
            OutputOptions(layers=self.card.layers),
            task=self.card.task,
            fitted=self.fitted,
            pooling=self.card.pooling,
            probabilities=probabilities,
        )

    def check(self, provenance: Mapping[str, Any]) -> None:
        """Compares a model, by its provenance, with the one that the predictor was trained on.

        Raises:
            InvalidConfigError: it is another one.
        """
        wanted, found = self.card.base.weights_sha256, provenance["weights_sha256"]
        if wanted != found:
            raise InvalidConfigError(
                f"{self.folder} was trained on {self.card.base.slug} with weights of sha256 {wanted[:12]}..., not on "
                f"{provenance['slug']} with {found[:12]}...; name the model that it was trained on with --model, "
                "or train it again on this one",
                setting="model",
            )


def read_predictor(folder: Path | str) -> Saved:
    """Reads a predictor.

    Raises:
        WeightsError: the folder holds none, or it is damaged, or of a kind that this esmkit does not know.
    """
    folder = Path(folder)
    card = Card.read(folder)
    if card.kind not in KINDS:
        raise WeightsError(
            f"{folder / CARD}: the kind is {card.kind!r}; this esmkit knows {', '.join(KINDS)}", path=str(folder / CARD)
        )
    digest = combined({path.name: sha256_of(path) for path in folder.glob("predictor.*")})
    return Saved(folder, card, KINDS[card.kind](folder, card), digest)


class Predictor:
    """A predictor on its base model, ready to answer.

    Args:
        saved: the predictor.
        model: its base model, fresh; it is adapted in place.
    """

    def __init__(self, saved: Saved, model: Model) -> None:
        self.card, self.model = saved.card, model
        self._output = saved.put_on(model)

    def run(self, sequences: Sequences) -> list[Result]:
        """Results with `prediction`, and for classes their probabilities, in the order of the sequences."""
        records = from_sequences(sequences)
        results = self.model.engine.run(records, [self._output], length=self.model.length, residues=self.model.residues)
        return [result for result in results if isinstance(result, Result)]

    def predict(self, sequences: Sequences) -> Any:
        """The predictions.

        Returns:
            Of one sequence a float or the name of a class; per residue float32 [L], or a string with a letter for
            each. Of several a list of these, or float64 [n] where each is a number.
        """
        predictions = [result.arrays["prediction"] for result in self.run(sequences)]
        if isinstance(sequences, str):
            return predictions[0]
        is_number = self.card.task.kind == "regression" and self.card.task.level == "sequence"
        return np.array(predictions) if is_number else predictions


def load_predictor(folder: Path | str, *, model: str | Path | None = None, **options: Any) -> Predictor:
    """Loads a predictor with its base model.

    Args:
        folder: what `esmkit fit`, or `esmkit train head` or `finetune`, left as a predictor.
        model: the base model, where it is not found by the name or path that it had.
        options: those of `esmkit.load`: device, dtype, length, ...

    Raises:
        WeightsError: the predictor or its base model is missing or damaged.
        InvalidConfigError: the model is not the one that the predictor was trained on.
    """
    saved = read_predictor(folder)
    return Predictor(saved, load(model or saved.base, **options))
