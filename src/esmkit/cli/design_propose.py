"""`esmkit design propose`: variants of a parent that a model, a predictor or both like best."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from esmkit.applications.design import (
    Likelihood,
    Objective,
    PredictedProperty,
    Proposal,
    Space,
    Strategy,
    Weighted,
    propose,
)
from esmkit.applications.design.objective import Term
from esmkit.applications.predictors import Predictor, load_predictor
from esmkit.batching import LengthPolicy
from esmkit.cli.design_journal import open_journal
from esmkit.cli.design_options import ProposeOptions, SpaceOptions
from esmkit.cli.design_run import Delivery, space_of
from esmkit.cli.mutation_options import ScoringOptions
from esmkit.cli.mutation_progress import VariantProgress
from esmkit.cli.mutation_run import load_models, provenance_of
from esmkit.cli.train_run import say
from esmkit.errors import InvalidConfigError
from esmkit.types import Column, Record, Result

MUTATIONS = (1, 3)
"""At least and at most, where the command line says nothing."""


def execute(
    scoring: ScoringOptions,
    space_options: SpaceOptions,
    options: ProposeOptions,
    *,
    parent: Record,
    offset: int,
    out: Path | None,
) -> int:
    """Runs the command and returns its exit code."""
    space = space_of(space_options, parent.sequence, offset=offset, mutations=MUTATIONS)
    model_weight, predictor_weight = weights(options)
    strategy = strategy_of(options)
    models = load_models(scoring)
    provenance: dict[str, Any] = provenance_of(models)
    terms = [Weighted(Likelihood(models, scoring.method), model_weight)]
    if options.predictor is not None:
        predictor = _predictor(options.predictor, scoring)
        provenance = {"scoring": provenance, "predictor": predictor.model.provenance}
        terms.append(Weighted(PredictedProperty(predictor, options.predictor_class), predictor_weight))
    search = _Search(scoring, options, space, strategy, terms, provenance, offset, out)
    return Delivery(scoring, out, search.columns(), search.arguments(), provenance, search.results).run()


def strategy_of(options: ProposeOptions) -> Strategy:
    """How the space is searched."""
    return Strategy(
        options.strategy,
        options.width,
        options.chains,
        options.steps,
        options.temperature,
        options.final_temperature,
        options.seed,
    )


def weights(options: ProposeOptions) -> tuple[float, float]:
    """Of likelihood and predictor.

    Raises:
        InvalidConfigError: something is said of a predictor, and there is none.
    """
    alone = options.predictor is None
    if alone and not (options.predictor_class is None and options.predictor_weight is None):
        raise InvalidConfigError("--predictor-class and --predictor-weight need a --predictor", setting="predictor")
    return (
        float(alone) if options.model_weight is None else options.model_weight,
        1.0 if options.predictor_weight is None else options.predictor_weight,
    )


@dataclass(frozen=True, slots=True)
class _Search:
    """A command line, ready to run."""

    scoring: ScoringOptions
    options: ProposeOptions
    space: Space
    strategy: Strategy
    terms: list[Weighted]
    provenance: dict[str, Any]
    offset: int
    out: Path | None

    def columns(self) -> list[Column]:
        """Of the table."""
        return [
            Column("rank", "int", ()),
            Column("mutant", "str", ()),
            Column("mutated_sequence", "str", ()),
            Column("mutations", "int", ()),
            Column("objective", "float", ()),
            *(Column(each.term.name, "float", ()) for each in self.terms),
            Column("nearest", "int", ()),
            Column("reason", "str", ()),
        ]

    def scoring_arguments(self) -> dict[str, Any]:
        """What decides the score of a sequence, beside the models."""
        return {
            "parent_sha256": hashlib.sha256(self.space.parent.encode()).hexdigest(),
            "method": self.scoring.method,
            "predictor_class": self.options.predictor_class,
            "long": self.scoring.long,
            "max_length": self.scoring.max_length,
        }

    def arguments(self) -> dict[str, Any]:
        """What decides the table."""
        return {
            **self.scoring_arguments(),
            "space_sha256": hashlib.sha256(repr(self.space).encode()).hexdigest(),
            "offset": self.offset,
            "weights": {each.term.name: each.weight for each in self.terms},
            **asdict(self.strategy),
            "proposals": self.options.proposals,
            "min_distance": self.options.min_distance,
        }

    def results(self) -> list[Result]:
        """Searches."""
        options, quiet = self.options, self.scoring.quiet
        identity = {**self.scoring_arguments(), "provenance": self.provenance}
        with open_journal(self.out, identity) as journal, VariantProgress(None, enabled=not quiet) as progress:

            def on_scored(term: Term, sequence: str, score: float) -> None:
                journal.note(term, sequence, score)
                progress.advance()

            objective = Objective(self.space.parent, self.terms, journal.known, on_scored)
            found = propose(
                objective,
                self.space,
                self.strategy,
                proposals=options.proposals,
                min_distance=options.min_distance,
                offset=self.offset,
            )
        if len(found) < options.proposals:
            say(
                f"{len(found)} of {options.proposals} proposals: nothing else that was found differs from them at "
                f"{options.min_distance} positions or more",
                quiet=quiet,
            )
        return [_result(rank, proposal) for rank, proposal in enumerate(found, start=1)]


def _result(rank: int, proposal: Proposal) -> Result:
    effects = " ".join(f"{name} {effect:+.3f}" for name, effect in proposal.effects.items())
    arrays = {
        "rank": rank,
        "mutant": proposal.mutant,
        "mutated_sequence": proposal.sequence,
        "mutations": len(proposal.effects),
        "objective": proposal.objective,
        **proposal.terms,
        "nearest": proposal.nearest,
        "reason": f"{effects}; {proposal.found}",
    }
    return Result(rank - 1, proposal.mutant, arrays, {"length": len(proposal.sequence)})


def _predictor(folder: Path, scoring: ScoringOptions) -> Predictor:
    return load_predictor(
        folder,
        length=LengthPolicy(scoring.long, scoring.max_length),
        **scoring.engine.loading(),
    )
