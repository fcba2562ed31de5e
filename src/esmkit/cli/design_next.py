"""`esmkit design next`: the next plate, from what earlier rounds measured."""

from __future__ import annotations

import hashlib
import os
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from esmkit.applications.design import (
    Featurizer,
    Measured,
    Plate,
    Policy,
    Space,
    Suggestion,
    next_plate,
    offspring_of_best,
    read_rounds,
)
from esmkit.applications.design.measured import substitution_only
from esmkit.applications.mutations.table import VariantTable
from esmkit.applications.mutations.variants import Variant, describe
from esmkit.applications.vectors import VectorCache
from esmkit.cli.design_options import NextOptions, SpaceOptions
from esmkit.cli.design_run import Delivery, space_of
from esmkit.cli.mutation_options import ModelsOptions
from esmkit.cli.mutation_run import load_models, provenance_of
from esmkit.cli.progress import Progress
from esmkit.cli.train_run import say
from esmkit.config import Settings
from esmkit.errors import InvalidConfigError
from esmkit.inputs import from_sequences
from esmkit.types import Column, Result

COLUMNS = [
    Column("rank", "int", ()),
    Column("mutant", "str", ()),
    Column("mutated_sequence", "str", ()),
    Column("mutations", "int", ()),
    Column("predicted_mean", "float", ()),
    Column("predicted_sd", "float", ()),
    Column("acquisition", "float", ()),
    Column("nearest", "int", ()),
    Column("reason", "str", ()),
]


@dataclass(frozen=True, slots=True)
class Request:
    """A command line that was read."""

    rounds: tuple[str, ...]
    wild_type: str
    offset: int
    models: ModelsOptions
    space: SpaceOptions
    options: NextOptions
    out: Path | None

    def table(self, source: str) -> VariantTable:
        """A table of variants."""
        return VariantTable(
            source,
            wild_type=self.wild_type,
            offset=self.offset,
            variant_column=self.options.variant_column,
            sequence_column=self.options.sequence_column,
        )


def execute(request: Request) -> int:
    """Runs the command and returns its exit code."""
    options = request.options
    if not options.label_column:
        raise InvalidConfigError("name the column with what was measured: --label-column", setting="label_column")
    measured = read_rounds([request.table(source) for source in request.rounds], options.label_column)
    candidates = _candidates(request, measured)
    models = [] if options.features == "residues" else load_models(request.models)
    policy = Policy(
        options.acquisition, options.beta, options.goal, options.members, options.min_distance, options.seed
    )

    def made() -> list[Result]:
        everything = [*measured.sequences, *candidates]
        settings = Settings.from_env(os.environ)
        quiet = request.models.quiet
        with Progress(lambda: from_sequences(everything), [not models], enabled=not quiet) as progress:
            featurize = Featurizer(
                models,
                residues=options.features != "embeddings",
                layer=options.layer,
                pooling=options.pooling,
                cache=VectorCache.default(settings),
                watcher=progress,
            )
            plate = next_plate(measured, candidates, featurize, policy, wells=options.plate)
        _say(plate, request, measured)
        return [_result(rank, each, plate, request) for rank, each in enumerate(plate.suggestions, start=1)]

    arguments = {
        "measured_sha256": _digest(measured),
        "candidates_sha256": hashlib.sha256("\n".join(candidates).encode()).hexdigest(),
        "wild_type_sha256": hashlib.sha256(request.wild_type.encode()).hexdigest(),
        "offset": request.offset,
        "features": options.features,
        "layer": options.layer,
        "pooling": options.pooling,
        **asdict(policy),
        "plate": options.plate,
        "long": request.models.long,
        "max_length": request.models.max_length,
    }
    provenance = provenance_of(models) if models else {}
    return Delivery(request.models, request.out, COLUMNS, arguments, provenance, made).run()


def _candidates(request: Request, measured: Measured) -> list[str]:
    """What to choose from: a table, combinations, or offspring."""
    options = request.options
    if options.candidates is not None:
        if request.space != SpaceOptions():
            raise InvalidConfigError(
                "--candidates says what may be proposed; leave out the options about what may change",
                setting="candidates",
            )
        variants = request.table(options.candidates).variants()
        return [substitution_only(variant) for variant in variants if isinstance(variant, Variant)]
    space = space_of(request.space, request.wild_type, offset=request.offset, mutations=(1, len(request.wild_type)))
    random = np.random.default_rng([options.seed, 1])  # another stream than that of the policy
    if options.generate == "offspring":
        return _offspring(request, space, measured, random)
    if request.space.positions is None and request.space.regions is None:
        raise InvalidConfigError(
            "combinations need --positions (or --regions); or give --candidates, or choose --generate offspring",
            setting="positions",
        )
    if space.size > options.max_candidates:
        say(
            f"{options.max_candidates:,} of {_shown(space.size)} combinations, drawn at random; --max-candidates takes "
            "more",
            quiet=request.models.quiet,
        )
    return space.sample(options.max_candidates, random)


def _offspring(request: Request, space: Space, measured: Measured, random: np.random.Generator) -> list[str]:
    options = request.options
    found = offspring_of_best(
        space, measured, options.max_candidates, random, parents=options.parents, goal=options.goal
    )
    parents = min(options.parents, len(measured.sequences))
    say(f"{len(found):,} offspring of the best {parents} variants", quiet=request.models.quiet)
    return found


def _say(plate: Plate, request: Request, measured: Measured) -> None:
    """What the plate was chosen from and by."""
    found, wanted, quiet = len(plate.suggestions), request.options.plate, request.models.quiet
    agreement = plate.ensemble.spearman
    say(
        f"learnt from {len(measured.sequences):,} variants, rank correlation with those held out "
        f"{'undefined' if agreement is None else f'{agreement:.2f}'}; chosen from {plate.candidates:,} candidates",
        quiet=quiet,
    )
    if found < wanted:
        say(
            f"{found} of {wanted} wells: no other candidate differs from them at {request.options.min_distance} "
            "positions or more",
            quiet=quiet,
        )


def _result(rank: int, found: Suggestion, plate: Plate, request: Request) -> Result:
    mutant = describe(request.wild_type, found.sequence, offset=request.offset)
    measured = describe(request.wild_type, found.measured, offset=request.offset)
    arrays = {
        "rank": rank,
        "mutant": mutant,
        "mutated_sequence": found.sequence,
        "mutations": sum(a != b for a, b in zip(request.wild_type, found.sequence, strict=True)),
        "predicted_mean": found.mean,
        "predicted_sd": found.sd,
        "acquisition": found.acquisition,
        "nearest": found.nearest,
        "reason": f"rank {found.rank_by_mean} by mean and {found.rank_by_sd} by sd of {plate.candidates}; "
        f"{found.measured_distance} from {measured} with {found.measured_value:.4g}",
    }
    return Result(rank - 1, mutant, arrays, {"length": len(found.sequence)})


def _digest(measured: Measured) -> str:
    text = "\n".join(
        f"{sequence},{value!r}" for sequence, value in zip(measured.sequences, measured.values, strict=True)
    )
    return hashlib.sha256(text.encode()).hexdigest()


def _shown(number: int) -> str:
    return f"{number:,}" if number < 10**9 else f"{number:.1e}"
