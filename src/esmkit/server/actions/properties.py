"""`property`: what a predictor that the operator put on the server says of proteins."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel, Field

from esmkit.applications.predictors import Card, Saved
from esmkit.engine import Model
from esmkit.server.actions.base import Action, Cost, Resources, checked_residues, request_type
from esmkit.server.errors import InvalidRequestError, Issue
from esmkit.server.wire import esm2
from esmkit.server.wire.base import Bounds
from esmkit.server.wire.esm2_docs import Shown, answer_type
from esmkit.types import Record, Result


class PropertyParams(esm2.Params):
    """Which predictor."""

    predictor: str = Field(description="The name of its folder.", examples=["solubility"])
    probabilities: bool = Field(True, description="Of classes: the probability of each, beside the most probable.")


class PropertyResult(Shown):
    """What is predicted for one protein."""

    prediction: float | str | list[float] = Field(
        description="A number, or the name of a class; per residue a list, or a string with a letter for each."
    )
    probabilities: dict[str, float] | list[list[float]] | None = Field(
        None, description="Of classes: by name; per residue, residues x classes, in the order of classes."
    )
    classes: list[str] | None = Field(None, description="Of classes per residue: what the columns are.")


def _request(bounds: Bounds) -> type[BaseModel]:
    return request_type("Property", bounds, PropertyParams)


def _cost(asked: Any, bounds: Bounds) -> Cost:
    residues = checked_residues(asked.items, asked.params, bounds)
    return Cost(len(asked.items), residues, 32 * residues)


@dataclass(frozen=True, slots=True)
class ServedPredictor:
    """A predictor on a model whose work goes through the queue; answers like a `Predictor`."""

    saved: Saved
    model: Model
    probabilities: bool = True

    @property
    def card(self) -> Card:
        """What it predicts."""
        return self.saved.card

    def run(self, sequences: Sequence[str]) -> Iterator[Result]:
        """Results with `prediction`, and for classes their probabilities, in the order of the sequences.

        Raises:
            InvalidConfigError: the predictor was trained on another model.
        """
        self.saved.check(self.model.provenance)
        output = self.saved.output(self.model.shape, probabilities=self.probabilities)
        records = [Record(index, f"items__{index}", sequence) for index, sequence in enumerate(sequences)]
        for result in self.model.engine.run(records, [output.source], length=self.model.length):
            assert isinstance(result, Result)
            yield replace(result, arrays=output.answer(result.arrays))


def _run(asked: Any, model: Model, resources: Resources) -> Sequence[Mapping[str, Any]]:
    params: PropertyParams = asked.params
    saved = predictor_named(params.predictor, resources)
    results = ServedPredictor(saved, model, params.probabilities).run([item.sequence for item in asked.items])
    return [_entry(result.arrays, saved) for result in results]


def predictor_named(name: str, resources: Resources) -> Saved:
    """The predictor that the operator put on the server under a name.

    Raises:
        InvalidRequestError: there is none; lists those that there are.
    """
    if name not in resources.predictors:
        choices = ", ".join(resources.predictors) or "none"
        message = f"no predictor {name[:60]!r} is served here; choose from {choices}"
        raise InvalidRequestError([Issue(("params", "predictor"), message, "predictor")])
    return resources.predictors[name]


def _entry(answer: Mapping[str, Any], saved: Saved) -> dict[str, Any]:
    """The columns of a predicted property, those of classes gathered."""
    classes = saved.card.task.classes
    entry: dict[str, Any] = {"prediction": answer["prediction"]}
    if "probabilities" in answer:
        entry |= {"probabilities": answer["probabilities"], "classes": list(classes)}
    elif classes and f"probability_{classes[0]}" in answer:
        entry["probabilities"] = {name: answer[f"probability_{name}"] for name in classes}
    return entry


ACTION = Action(
    name="property",
    title="properties by a predictor",
    description="What a predictor says of proteins, or of their residues. It was made by `esmkit fit` or "
    "`esmkit train head` on this model, and put on the server by its operator.",
    request=_request,
    answer=answer_type(PropertyResult),
    cost=_cost,
    run=_run,
    body={"items": [{"sequence": "MKTAYIAKQRQISFVKSHFSRQ"}], "params": {"predictor": "solubility"}},
    result={"prediction": 0.61},
    is_served=lambda resources: bool(resources.predictors),
)
