"""Variants in, scores out, in order, as a stream: one model, or several of which the scores are averaged.

Shape suffixes: n variants, m models, L residues, V = 20 amino acids in the order of alphabet.STANDARD.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Literal

import numpy as np

from esmkit.applications.mutations.methods import Method, MethodName, method_named
from esmkit.applications.mutations.variants import Variant, check_wild_type, describe, parse, substitutions
from esmkit.engine import Model
from esmkit.errors import EsmkitError, InvalidConfigError
from esmkit.outputs import OutputOptions, build
from esmkit.types import Column, Failure, FloatArray, Record, Result

CHUNK = 1024
"""Variants of which the masked positions are computed together: about 54 positions of a scan."""
KEPT = 1024
"""Wild types that are remembered from one chunk to the next."""
Models = Model | Sequence[Model]
OnError = Literal["stop", "skip"]


@dataclass(frozen=True, slots=True)
class Scores:
    """Scores of variants of one protein.

    Attributes:
        variants: as they were given, or described where they were given as sequences.
        scores: float64 [n], the mean over models; higher is better, 0 is the wild type.
        by_model: float64 [m, n].
        method: how they were made.
        models: slugs, in the order of `by_model`.
    """

    variants: tuple[str, ...]
    scores: FloatArray
    by_model: FloatArray
    method: MethodName
    models: tuple[str, ...]


def score(
    models: Models,
    wild_type: str,
    variants: Iterable[str],
    *,
    method: MethodName = "masked_marginal",
    offset: int = 0,
) -> Scores:
    """Scores variants of one protein.

    Args:
        models: one, or several whose scores are averaged.
        wild_type: of the 20 amino acids.
        variants: `A24G`, `A24G:K30R`, `K23del`, ... or whole sequences; see `variants.parse`.
        method: see `methods`.
        offset: what the numbering of the variants adds to places in the wild type.

    Raises:
        InvalidVariantError: a variant does not fit the wild type or the method.
        UserError: a sequence is too long, or an argument wrong.

    Example:
        >>> import esmkit
        >>> score(esmkit.load(), "MKTAYIAKQR", ["K2R", "K2R:A4G"], method="wt_marginal").scores.shape
        (2,)
    """
    check_wild_type(wild_type, offset=offset)
    asked: list[Variant | Failure] = []
    for number, text in enumerate(variants):
        sequence = parse(text, wild_type, offset=offset)
        name = describe(wild_type, sequence, offset=offset) if text == sequence else text
        asked.append(Variant(number, name, sequence, wild_type=wild_type))
    found = [item for item in stream(models, asked, method) if isinstance(item, Result)]
    return Scores(
        tuple(item.id for item in asked),
        np.array([result.arrays[method] for result in found]),
        np.array([result.meta["by_model"] for result in found]).reshape(len(found), -1).T,
        method,
        names_of(listed(models)),
    )


def stream(
    models: Models,
    variants: Iterable[Variant | Failure],
    method: MethodName,
    *,
    on_error: OnError = "stop",
) -> Iterator[Result | Failure]:
    """Scores of any number of variants of any number of proteins, in order, in bounded memory.

    Args:
        models: one, or several whose scores are averaged.
        variants: with the index 0, 1, 2 ...; a Failure passes through in its place.
        method: see `methods`.
        on_error: `stop` raises at the first variant without a score; `skip` puts a Failure in its place.

    Yields:
        Results with what the variant shows and the columns of `score_columns`; `meta` holds `length`, and `by_model`,
        the score of each model.

    Raises:
        EsmkitError: under `stop`, the first failure; under either, when a wild type itself cannot be computed.
    """
    several = listed(models)
    scorers = [Scorer(model, method_named(method)) for model in several]
    columns = [column.name for column in score_columns(method, several)]
    iterator = iter(variants)
    while chunk := list(islice(iterator, CHUNK)):
        streams: list[Iterable[Result | Failure]] = [scorer.stream(chunk, on_error) for scorer in scorers]
        if len(streams) > 1:
            streams = [list(each) for each in streams]  # one model after another: engines work ahead of their readers
        for items in zip(*streams, strict=True):
            failed = next((item for item in items if isinstance(item, Failure)), None)
            yield failed or _mean([item for item in items if isinstance(item, Result)], columns)


def _mean(results: Sequence[Result], columns: Sequence[str]) -> Result:
    """The results of all models for one variant as one."""
    first = results[0]
    values = [result.arrays[columns[0]] for result in results]
    scores = dict(zip(columns, [float(np.mean(values)), *values], strict=False))
    return Result(first.index, first.id, {**first.arrays, **scores}, {**first.meta, "by_model": values})


def score_columns(method: MethodName, models: Sequence[Model]) -> list[Column]:
    """The mean under the name of the method, and for several models what each one gave."""
    several = [f"{method}_{name}" for name in names_of(models)] if len(models) > 1 else []
    return [Column(name, "float", ()) for name in (method, *several)]


def listed(models: Models) -> list[Model]:
    """Several models, also when it is one.

    Raises:
        InvalidConfigError: there is none, or one twice.
    """
    several = [models] if isinstance(models, Model) else list(models)
    digests = [model.provenance["weights_sha256"] for model in several]
    if not several or len(set(digests)) < len(digests):
        raise InvalidConfigError("give at least one model, and each only once", setting="model")
    return several


def names_of(models: Sequence[Model]) -> tuple[str, ...]:
    """Slugs; those that are not unique are numbered."""
    slugs = [str(model.provenance["slug"]) for model in models]
    return tuple(f"{slug}_{at + 1}" if slugs.count(slug) > 1 else slug for at, slug in enumerate(slugs))


@dataclass(frozen=True)
class WildType:
    """What a model said about a wild type.

    Attributes:
        answer: a table [L, V], or a likelihood.
        lines: indices of the masked residues that the table has so far.
        meta: of the result.
    """

    answer: Any
    lines: set[int] = field(default_factory=set)
    meta: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Scorer:
    """One model and one method; remembers what the model said about wild types.

    Raises:
        InvalidConfigError: the model truncates long sequences, and what was cut off would have no effect.
    """

    model: Model
    method: Method
    wild_types: dict[str, WildType] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.model.length.on_long == "truncate":
            raise InvalidConfigError(
                "mutation effects are not computed on truncated proteins; let long sequences be an error, or windows",
                setting="long",
            )

    def stream(self, chunk: Sequence[Variant | Failure], on_error: OnError) -> Iterator[Result | Failure]:
        """A result per variant, or a Failure, in order."""
        checked = [self._checked(item, on_error) for item in chunk]
        if self.method.reads_wild_type:
            self._learn([item for item in checked if isinstance(item, Variant)])
        if not self.method.reads_variant:
            yield from (self._scored(item) for item in checked)
            return
        model, output = self.model, self.method.output
        results = model.engine.run(checked, build([output], model.shape), length=model.length, on_error=on_error)
        for item, result in zip(checked, results, strict=True):
            yield self._scored(item, result)

    def _checked(self, item: Variant | Failure, on_error: OnError) -> Variant | Failure:
        if isinstance(item, Failure):
            return item
        try:
            self.method.check(item)
        except EsmkitError as error:
            if on_error == "stop":
                raise
            return Failure(item.index, item.id, error)
        return item

    def _scored(self, item: Variant | Failure, result: Result | Failure | None = None) -> Result | Failure:
        """The score of a variant, from what the model said about its wild type and, if it was asked, about it."""
        if isinstance(item, Failure):
            return item
        if isinstance(result, Failure):
            return result
        wild_type = self.wild_types.get(item.wild_type)
        own = result.arrays[self.method.output] if result else None
        value = self.method.score(item, wild_type=wild_type.answer if wild_type else None, own=own)
        meta = result.meta if result else wild_type.meta if wild_type else {}
        about = {"length": len(item.sequence), **({"long": meta["long"]} if "long" in meta else {})}
        return Result(item.index, item.id, {**item.shown, self.method.name: value}, about)

    def _learn(self, variants: Iterable[Variant]) -> None:
        """Computes what is not yet known of the wild types; one masked row serves all that change its residue."""
        wanted: dict[str, set[int]] = {}
        for variant in variants:
            indices = wanted.setdefault(variant.wild_type, set())
            if self.method.masks:
                indices.update(substitutions(variant.wild_type, variant.sequence)[0].tolist())
        others = [sequence for sequence in self.wild_types if sequence not in wanted]
        for sequence in others[: max(0, len(self.wild_types) - KEPT)]:
            del self.wild_types[sequence]
        for sequence, indices in wanted.items():
            if not self.method.masks:
                self.wild_types[sequence] = self.wild_types.get(sequence) or self._ask(sequence)
                continue
            known = self.wild_types.setdefault(sequence, WildType(np.zeros((len(sequence), 20), dtype=np.float32)))
            if missing := sorted(indices - known.lines):
                asked = self._ask(sequence, tuple(index + 1 for index in missing))
                known.answer[missing] = asked.answer
                known.lines.update(missing)
                known.meta.update(asked.meta)

    def _ask(self, sequence: str, positions: tuple[int, ...] | None = None) -> WildType:
        """The output of the method for a wild type."""
        options = OutputOptions(positions=positions)
        (result,) = self.model.run([Record(0, "wild type", sequence)], [self.method.output], options=options)
        return WildType(result.arrays[self.method.output], meta=dict(result.meta))
