"""`esmkit jobs`: files of proteins that a server computes while nobody waits."""

from __future__ import annotations

import secrets
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from esmkit.cli.options import with_options
from esmkit.errors import demand_module

if TYPE_CHECKING:
    from esmkit.cli.jobs_service import JobsService

app = typer.Typer(no_args_is_help=True, help="Have a server compute a file of proteins, and get the result later.")
_INPUT, _SERVER, _OUT = "Input", "Server", "Output"

Job = Annotated[str, typer.Argument(metavar="JOB", help="Id; see 'esmkit jobs list'.", show_default=False)]
Out = Annotated[
    Path, typer.Option("--out", "-o", help="File for the result, which appears when it is whole.", rich_help_panel=_OUT)
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """Which server, and how it is spoken of; see `with_options`."""

    server: Annotated[
        str,
        typer.Option(
            metavar="URL",
            envvar="ESMKIT_SERVER",
            help="The esmkit server; its API key, if it asks for one, comes from ESMKIT_API_KEY.",
            rich_help_panel=_SERVER,
        ),
    ] = "http://127.0.0.1:8000"
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only errors on stderr.")] = False
    json: Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")] = False

    def opened(self) -> AbstractContextManager[JobsService]:
        """The jobs of that server."""
        demand_module("httpx", reason="jobs of a server need httpx", extra="server")
        from esmkit.cli import jobs_service

        return jobs_service.opened(self.server)


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedOptions:
    """What a job shall compute, by the names of the API; see `with_options`."""

    model: Annotated[str, typer.Option("--model", "-m", help="Slug of a model of the server.")] = "esm2-mini"
    outputs: Annotated[
        str, typer.Option("--include", help="With commas: mean, per_residue, contacts, log_prob, ...")
    ] = "mean"
    layers: Annotated[str | None, typer.Option(help="Of embeddings, with commas; the last by default.")] = None
    format: Annotated[
        Literal["parquet", "hdf5", "npz", "jsonl", "csv"], typer.Option(help="Of the result.", rich_help_panel=_OUT)
    ] = "parquet"
    dtype: Annotated[
        Literal["float32", "float16"], typer.Option(help="Number format of stored floats.", rich_help_panel=_OUT)
    ] = "float32"
    input: Annotated[
        Literal["fasta", "csv", "tsv", "jsonl"] | None,
        typer.Option("--input-format", help="By default as the input looks.", rich_help_panel=_INPUT),
    ] = None
    id_column: Annotated[str | None, typer.Option(help="Column of ids in a table.", rich_help_panel=_INPUT)] = None
    sequence_column: Annotated[
        str | None, typer.Option(help="Column of sequences in a table.", rich_help_panel=_INPUT)
    ] = None
    long: Annotated[
        Literal["error", "window", "truncate"],
        typer.Option(help="Sequences longer than the server's limit.", rich_help_panel=_INPUT),
    ] = "error"
    lowercase: Annotated[
        Literal["error", "upper"], typer.Option(help="Refuse lower case, or read it as upper.", rich_help_panel=_INPUT)
    ] = "error"
    strip_stop: Annotated[
        bool, typer.Option("--strip-stop", help="Drop one * at the end of a sequence.", rich_help_panel=_INPUT)
    ] = False
    on_error: Annotated[
        Literal["stop", "skip"],
        typer.Option(help="A bad record: refuse the input, or skip it and list it.", rich_help_panel=_INPUT),
    ] = "stop"
    name: Annotated[str, typer.Option(help="For people; the name of the file by default.")] = ""
    webhook: Annotated[str | None, typer.Option(metavar="URL", help="Gets a POST when the job has ended.")] = None


@app.command()
@with_options(AskedOptions, "asked")
@with_options(ServerOptions, "server")
def submit(
    source: Annotated[
        Path,
        typer.Argument(metavar="INPUT", help="FASTA, CSV, TSV or JSON lines; compressed or not.", show_default=False),
    ],
    asked: AskedOptions,
    server: ServerOptions,
    idempotency_key: Annotated[
        str | None, typer.Option(metavar="TEXT", help="The same input with the same text is one job.")
    ] = None,
) -> int:
    """Send a file of proteins to a server. Prints the id of the job.

    Example: esmkit jobs submit proteins.fasta --include mean,contacts
    """
    from dataclasses import asdict

    from esmkit.cli import jobs_shown

    query: dict[str, Any] = {**asdict(asked), "name": asked.name or source.name[:100]}
    query |= {name: str(value).lower() for name, value in query.items() if isinstance(value, bool)}
    with server.opened() as jobs:
        page = jobs.submit(source, query, mark=idempotency_key or secrets.token_urlsafe(24))
    jobs_shown.made(page, quiet=server.quiet, json=server.json)
    return 0


@app.command()
@with_options(ServerOptions, "server")
def watch(job: Job, server: ServerOptions) -> int:
    """See how far a job is, until it has ended. Ctrl-C ends the watching, not the job.

    Exit codes: 0 done; 1 done, but some records failed, or cancelled; 2 failed.
    """
    from esmkit.cli import jobs_shown

    with server.opened() as jobs:
        page = jobs_shown.watched(lambda: jobs.page(job), quiet=server.quiet)
    return jobs_shown.ended(page, quiet=server.quiet, json=server.json)


@app.command()
@with_options(ServerOptions, "server")
def get(job: Job, out: Out, server: ServerOptions) -> int:
    """Wait for a job, and save its result. What broke off goes on where it stopped."""
    from esmkit.cli import jobs_shown

    with server.opened() as jobs:
        page = jobs_shown.watched(lambda: jobs.page(job), quiet=server.quiet)
        if page["state"] == "done":
            jobs_shown.saved(out, jobs.download(job, out), quiet=server.quiet)
    return jobs_shown.ended(page, quiet=server.quiet, json=server.json)


@app.command("list")
@with_options(ServerOptions, "server")
def list_jobs(server: ServerOptions) -> int:
    """The jobs of your key, newest first."""
    from esmkit.cli import jobs_shown

    with server.opened() as jobs:
        jobs_shown.listed(jobs.list(), json=server.json)
    return 0


@app.command()
@with_options(ServerOptions, "server")
def cancel(job: Job, server: ServerOptions) -> int:
    """End a job; nothing of it is kept."""
    from esmkit.cli import jobs_shown

    with server.opened() as jobs:
        page = jobs.cancel(job)
    jobs_shown.cancelled(page, quiet=server.quiet, json=server.json)
    return 0
