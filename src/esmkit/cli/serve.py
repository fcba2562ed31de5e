"""`esmkit serve`: the HTTP API."""

from __future__ import annotations

import dataclasses
import inspect
import json
import os
import types
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from esmkit.cli.database import open_store
from esmkit.server.settings import GROUPS, ServerSettings

_OPTION_NAMES = {
    "models": ("--model", "-m"),
    "predictors": ("--predictor",),
    "indexes": ("--index",),
    "cors_origins": ("--cors-origin",),
    "webhook_hosts": ("--webhook-host",),
}
_VALUE_NAMES = {int: "N", float: "SECONDS", list[str]: "TEXT", str: "TEXT"}


def _flags() -> list[inspect.Parameter]:
    """One option per setting, None when it is not given, so that environment and file have their say."""
    hints = typing.get_type_hints(ServerSettings)
    parameters, group = [], ""
    for each in dataclasses.fields(ServerSettings):
        hint, group = hints[each.name], GROUPS.get(each.name, group)
        if isinstance(each.default, tuple):
            hint = list[str]
        elif isinstance(hint, types.UnionType):
            hint = hint.__args__[0]
        default = "" if each.default in (None, (), False) else f" (default: {_shown(each.default)})"
        option = typer.Option(
            *_OPTION_NAMES.get(each.name, ()),
            help=each.metadata["help"] + default,
            show_default=False,
            rich_help_panel=group,
            metavar=None if hint is bool else _VALUE_NAMES.get(hint, "NAME"),
        )
        parameters.append(
            inspect.Parameter(
                each.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=None,
                annotation=Annotated[typing.Optional[hint], option],  # noqa: UP045 (built at run time)
            )
        )
    return parameters


def _shown(default: object) -> str:
    return ", ".join(default) if isinstance(default, tuple) else str(default)


def serve(config: Path | None, print_config: bool, **flags: Any) -> int:
    """Serve models over HTTP, with BioLM's routes.

    Every option is also an environment variable (ESMKIT_PORT) and a key of
    the TOML file (port = 8000). Options win over the environment, that over
    the file. ESMKIT_DATABASE_URL_FILE names a file that holds the value.

    Example: esmkit serve --model esm2-8m --model esm2-650m --host 0.0.0.0
    """
    given = {name: value or None if isinstance(value, list) else value for name, value in flags.items()}
    settings = ServerSettings.resolve(given, os.environ, path=config)
    if print_config:
        typer.echo(json.dumps(settings.shown(), indent=2))
        return 0
    return _run(settings)


def _run(settings: ServerSettings) -> int:
    from esmkit.config import Settings
    from esmkit.errors import MissingExtraError

    try:
        import fastapi  # noqa: F401
        import uvicorn  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"serving needs {error.name}, which is not installed. Install it with: pip install 'esmkit[server]'",
            extra="server",
        ) from error
    from esmkit.server import logs, tracing
    from esmkit.server.app import create_app
    from esmkit.server.jobs.folder import default_folder
    from esmkit.server.process import ServerProcess
    from esmkit.server.queues import serving_queue
    from esmkit.web import add_to

    logs.configure(settings.log_level)
    is_here = settings.ray in (None, "local")  # several machines need a folder that they share
    if settings.jobs_folder is None and is_here:
        settings = dataclasses.replace(settings, jobs_folder=default_folder(os.environ))
    if settings.ray is not None:
        from esmkit.cli.serve_ray import run

        return run(settings)
    traces = tracing.provider(os.environ)
    home = Settings.from_env(os.environ)
    with open_store(settings) as store:
        logs.SERVER.info("keys and usage are in %s", store.name)
        queue = serving_queue(settings, home, on_fatal=lambda error: server.fail(error))
        app = create_app(settings, queue, store, tracer_provider=traces)
        add_to(app)
        server = ServerProcess(app, settings)
        server.run()
    if traces is not None:
        traces.shutdown()  # sends what is left
    if server.failure is not None:
        raise server.failure
    return 0


def _command() -> Callable[..., int]:
    """`serve` with one option per setting."""

    def command(**values: Any) -> int:
        return serve(**values)

    own = [
        inspect.Parameter(
            "config",
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[Path | None, typer.Option(help="TOML file with settings; also ESMKIT_CONFIG.")],
        ),
        inspect.Parameter(
            "print_config",
            inspect.Parameter.KEYWORD_ONLY,
            default=False,
            annotation=Annotated[
                bool, typer.Option("--print-config", help="Print all settings as JSON, without secrets, and exit.")
            ],
        ),
    ]
    parameters = [*own, *_flags()]
    command.__doc__ = serve.__doc__
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return command


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("serve")(_command())
