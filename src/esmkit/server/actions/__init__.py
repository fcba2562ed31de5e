"""Actions of esmkit's own, by name; a module each."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from esmkit.applications.predictors import Saved, read_predictor
from esmkit.applications.search import Index
from esmkit.errors import InvalidConfigError
from esmkit.server.actions import (
    annotate,
    cluster,
    comparing,
    designing,
    fitting,
    interacting,
    maps,
    mutations,
    next_round,
    properties,
    search,
)
from esmkit.server.actions.base import Action, Extension, Planned, Resources
from esmkit.server.settings import ServerSettings

_MODULES = (
    *(properties, fitting, designing, next_round),
    *(search, annotate, maps, cluster, comparing, interacting),
)
ACTIONS: dict[str, Action] = {module.ACTION.name: module.ACTION for module in _MODULES}
"""Those that a function of `applications/` answers."""
PLANNED: dict[str, Planned] = {mutations.ACTION.name: mutations.ACTION}
"""Those that the queue answers, as it does BioLM's."""
EXTENSIONS: dict[str, Extension] = {**PLANNED, **ACTIONS}

__all__ = ["ACTIONS", "EXTENSIONS", "PLANNED", "Action", "Extension", "Planned", "Resources", "resources"]


def resources(settings: ServerSettings) -> Resources:
    """What the operator put beside the models.

    Raises:
        WeightsError: a folder holds no predictor, or a damaged one.
        InvalidInputError: a folder holds no index, or one that is not finished.
        MissingExtraError: there are indexes, and lancedb is not installed.
        InvalidConfigError: two have one name, or one changes the weights of its model, which other requests share.
    """
    predictors = {name: _shareable(path) for name, path in _named("predictors", settings.predictors)}
    indexes = {name: Index.open(path) for name, path in _named("indexes", settings.indexes)}
    return Resources(predictors, indexes)


def _named(setting: str, folders: Sequence[str]) -> Iterator[tuple[str, Path]]:
    """The name of each folder, by which clients ask for it."""
    seen: set[str] = set()
    for path in map(Path, folders):
        name = path.resolve().name
        if name in seen:
            raise InvalidConfigError(f"two {setting} would be called {name!r}; rename a folder", setting=setting)
        seen.add(name)
        yield name, path


def _shareable(path: Path) -> Saved:
    predictor = read_predictor(path)
    if predictor.fitted.changes_model:
        raise InvalidConfigError(
            f"{path} changes the weights of its model, which other requests share; serve predictors of "
            "'esmkit fit' or 'esmkit train head'",
            setting="predictors",
        )
    return predictor
