"""`esmkit serve --ray`, and the same application for Ray's own tools."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from esmkit.cli.database import open_store
from esmkit.cluster.connection import demand_ray
from esmkit.config import Settings
from esmkit.server import logs
from esmkit.server.settings import ServerSettings

if TYPE_CHECKING:
    from ray.serve import Application


def run(settings: ServerSettings) -> int:
    """Serves on Ray, see `esmkit.cluster.serve.running`."""
    demand_ray("serve --ray needs Ray")
    from esmkit.cluster.serve.running import serve_on_ray
    from esmkit.web import add_to

    _make_tables(settings)
    serve_on_ray(settings, Settings.from_env(os.environ), extend=add_to)
    return 0


def build(args: Mapping[str, Any]) -> Application:
    """For `serve deploy` and KubeRay: `import_path: esmkit.cli.serve_ray:build`, its `args` are settings of the server.

    Ray decides where to listen there, and it is not on loopback: keys are on unless `auth` says otherwise.

    Raises:
        EsmkitError: a setting is wrong, a model is not there, the store cannot be reached.
    """
    demand_ray("Ray Serve")
    from esmkit.cluster.serve.application import application
    from esmkit.web import add_to

    settings = ServerSettings.resolve({"host": "0.0.0.0", **args}, os.environ)  # noqa: S104
    _make_tables(settings)
    return application(settings, Settings.from_env(os.environ), extend=add_to)


def _make_tables(settings: ServerSettings) -> None:
    """The newest tables are there before anybody reads them."""
    with open_store(settings) as store:
        logs.SERVER.info("keys and usage are in %s", store.name)
