"""`esmkit design propose`: variants of a parent that a model, a predictor or both like best."""

from __future__ import annotations

import hashlib
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from esmkit.applications.design import Likelihood, Objective, PredictedProperty, Proposal, Strategy, Weighted, propose
from esmkit.applications.predictors import Predictor, load_predictor
from esmkit.batching import LengthPolicy
from esmkit.cli.design_options import ProposeOptions, SpaceOptions
from esmkit.cli.design_run import Delivery, space_of
from esmkit.cli.mutation_options import ScoringOptions
from esmkit.cli.mutation_progress import VariantProgress
from esmkit.cli.mutation_run import load_models, provenance_of
from esmkit.cli.train_run import say
from esmkit.config import Settings
from esmkit.errors import InvalidConfigError
from esmkit.types import Column, Record, Result

MUTATIONS = (1, 3)
"""At least and at most, where the command line says nothing."""


@dataclass(frozen=True, slots=True)
class Request:
    """The command line, apart from groups of options."""

    parent: Record
    offset: int
    out: Path | None


def execute(scoring: ScoringOptions, space_options: SpaceOptions, options: ProposeOptions, request: Request) -> int:
    """Runs the command and returns its exit code."""
    parent, offset = request.parent.sequence, request.offset
    space = space_of(space_options, parent, offset=offset, mutations=MUTATIONS)
    strategy = Strategy(
        options.strategy,
        options.width,
        options.chains,
        options.steps,
        options.temperature,
        options.final_temperature,
        options.seed,
    )
    model_weight, predictor_weight = weights(options)
    models = load_models(scoring)
    provenance: dict[str, Any] = provenance_of(models)
    terms = [Weighted(Likelihood(models, scoring.method), model_weight)]
    if options.predictor is not None:
        predictor = _predictor(options.predictor, scoring)
        provenance = {"scoring": provenance, "predictor": predictor.model.provenance}
        terms.append(Weighted(PredictedProperty(predictor, options.predictor_class), predictor_weight))

    def made() -> list[Result]:
        with VariantProgress(None, enabled=not scoring.quiet) as progress:
            objective = Objective(parent, terms, on_progress=progress.advance)
            found = propose(
                objective,
                space,
                strategy,
                proposals=options.proposals,
                min_distance=options.min_distance,
                offset=offset,
            )
        if len(found) < options.proposals:
            say(
                f"{len(found)} of {options.proposals} proposals: nothing else that was found differs from them at "
                f"{options.min_distance} positions or more",
                quiet=scoring.quiet,
            )
        return [_result(rank, proposal) for rank, proposal in enumerate(found, start=1)]

    arguments = {
        "parent_and_space_sha256": hashlib.sha256(repr(space).encode()).hexdigest(),
        "offset": offset,
        "method": scoring.method,
        "weights": {each.term.name: each.weight for each in terms},
        **asdict(strategy),
        "proposals": options.proposals,
        "min_distance": options.min_distance,
        "long": scoring.long,
        "max_length": scoring.max_length,
    }
    return Delivery(scoring, request.out, columns(terms), arguments, provenance, made).run()


def weights(options: ProposeOptions) -> tuple[float, float]:
    """Of likelihood and predictor.

    Raises:
        InvalidConfigError: something is said of a predictor, and there is none.
    """
    if options.predictor is None and not (options.predictor_class is None and options.predictor_weight is None):
        raise InvalidConfigError("--predictor-class and --predictor-weight need a --predictor", setting="predictor")
    alone = options.predictor is None
    return (
        float(alone) if options.model_weight is None else options.model_weight,
        1.0 if options.predictor_weight is None else options.predictor_weight,
    )


def columns(terms: list[Weighted]) -> list[Column]:
    """Of the table."""
    return [
        Column("rank", "int", ()),
        Column("mutant", "str", ()),
        Column("mutated_sequence", "str", ()),
        Column("mutations", "int", ()),
        Column("objective", "float", ()),
        *(Column(each.term.name, "float", ()) for each in terms),
        Column("nearest", "int", ()),
        Column("reason", "str", ()),
    ]


def _result(rank: int, proposal: Proposal) -> Result:
    effects = ", ".join(f"{name} {effect:+.3f}" for name, effect in proposal.effects.items())
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
        device=scoring.device,
        dtype=scoring.dtype,
        attention=scoring.attention,
        batch_tokens=scoring.batch_tokens,
        threads=scoring.threads,
        length=LengthPolicy(scoring.long, scoring.max_length),
        settings=Settings.from_env(os.environ, offline=scoring.offline or None),
    )
