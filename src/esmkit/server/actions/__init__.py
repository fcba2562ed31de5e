"""Actions of esmkit's own, by name; a module each."""

from pathlib import Path

from esmkit.applications.predictors import Saved, read_predictor
from esmkit.errors import InvalidConfigError
from esmkit.server.actions import comparing, designing, interacting, next_round, properties
from esmkit.server.actions.base import Action, Resources
from esmkit.server.settings import ServerSettings

_MODULES = (comparing, designing, interacting, next_round, properties)
ACTIONS: dict[str, Action] = {module.ACTION.name: module.ACTION for module in _MODULES}

__all__ = ["ACTIONS", "Action", "Resources", "resources"]


def resources(settings: ServerSettings) -> Resources:
    """What the operator put beside the models.

    Raises:
        WeightsError: a folder holds no predictor, or a damaged one.
        InvalidConfigError: two have one name, or one changes the weights of its model, which other requests share.
    """
    predictors: dict[str, Saved] = {}
    for path in map(Path, settings.predictors):
        name = path.resolve().name
        if name in predictors:
            raise InvalidConfigError(f"two predictors would be called {name!r}; rename a folder", setting="predictors")
        predictors[name] = read_predictor(path)
        if predictors[name].fitted.changes_model:
            raise InvalidConfigError(
                f"{path} changes the weights of its model, which other requests share; serve predictors of "
                "'esmkit fit' or 'esmkit train head'",
                setting="predictors",
            )
    return Resources(predictors)
