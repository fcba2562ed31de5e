"""The command line. Commands import torch only when they run, so that --help is quick.

Exit codes: 0 done; 1 done, but some records failed (--on-error skip), or a check did not pass; 2 wrong arguments or
input; 3 out of memory or capacity; 4 weights, model or database failed; 130 interrupted.
"""

from __future__ import annotations

import errno
import io
import os
import sys

import typer

from esmkit.cli import (
    annotate,
    antibody,
    attentions,
    benchmark,
    chat,
    cluster,
    compare,
    contacts,
    design,
    embed,
    fit,
    incident,
    index,
    interactions,
    jobs,
    keys,
    likelihood,
    logits,
    maps,
    mcp,
    models,
    mutations,
    predict,
    predict_property,
    search,
    serve,
    train,
    usage,
    version,
)
from esmkit.errors import CapacityError, EsmkitError, UserError

app = typer.Typer(
    name="esmkit",
    help="ESM-2 protein language models on your own machine.",
    epilog="Exit codes: 0 done, 1 some records failed, 2 wrong arguments or input, 3 out of memory, "
    "4 weights, model or database failed, 130 interrupted.",
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
for module in (
    *(embed, contacts, attentions, logits, predict, likelihood),
    *(fit, predict_property, search, annotate, maps, cluster, compare),
    *(serve, mcp, chat, usage, version),
):
    module.register(app)
app.add_typer(models.app, name="models", help="List, download and check models.")
app.add_typer(mutations.app, name="mutations")
app.add_typer(design.app, name="design")
app.add_typer(index.app, name="index")
app.add_typer(interactions.app, name="interactions")
app.add_typer(antibody.app, name="antibody")
app.add_typer(benchmark.app, name="benchmark")
app.add_typer(train.app, name="train")
app.add_typer(jobs.app, name="jobs")
app.add_typer(keys.app, name="keys")
app.add_typer(incident.app, name="incident")


def main() -> None:
    """Runs the command line and exits with its code; every expected error is one message on stderr."""
    # Arrow's own allocator keeps several times what Parquet needs; it is chosen when pyarrow is imported.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # an id that the terminal has no letters for stops nothing
    try:
        code = _run()
        sys.stdout.flush()
    except KeyboardInterrupt:
        _say("interrupted; run it again to go on from the last shard in --out")
        _leave(130)
    except BrokenPipeError:
        _leave(0)  # the reader of our output has what it wanted
    except EsmkitError as error:
        _say(f"error: {error.message}")
        _leave(2 if isinstance(error, UserError) else 3 if isinstance(error, CapacityError) else 4)
    except OSError as error:
        _say(f"error: {error.filename}: {error.strerror}" if error.filename else f"error: {error}")
        _leave(3 if error.errno in (errno.ENOSPC, errno.EDQUOT) else 2)
    except Exception as error:
        _leave(_command_line_error(error))
    sys.exit(code)


def _run() -> int:
    """Runs the command named on the command line; like `app()`, but leaves every exception to `main`."""
    command = typer.main.get_command(app)
    with command.make_context("esmkit", sys.argv[1:]) as context:
        return command.invoke(context) or 0


def _command_line_error(error: Exception) -> int:
    """Shows the parser's own errors its way; anything else is a bug and keeps its traceback."""
    show, code = getattr(error, "show", None), getattr(error, "exit_code", None)
    if code is None:
        raise error
    if show is not None:
        show()
    return int(code)


def _say(message: str) -> None:
    print(f"esmkit: {message}", file=sys.stderr)  # noqa: T201


def _leave(code: int) -> None:
    """Exits at once: a thread may still be inside a long step of the model, and nothing needs it any more."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (BrokenPipeError, ValueError):
            continue
    os._exit(code)
