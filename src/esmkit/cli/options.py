"""Options that every computing command shares, declared once; nothing heavy is imported here."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import os
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import typer

Function = TypeVar("Function", bound=Callable[..., Any])


Vocabulary = Literal["standard", "full"]

INPUT, MODEL, RUN, OUT = "Input", "Model", "Run", "Output"


# What commands of other kinds share with these, see RunOptions.
MaxLength = Annotated[
    int, typer.Option(min=4, help="Limit in residues; the window size of --long window.", rich_help_panel=INPUT)
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.", rich_help_panel=MODEL)]
Dtype = Annotated[
    Literal["float32", "float16", "bfloat16"],
    typer.Option(help="Number format of the model.", rich_help_panel=MODEL),
]
Attention = Annotated[
    Literal["auto", "eager", "sdpa", "native", "varlen"],
    typer.Option(help="Attention back end.", rich_help_panel=MODEL),
]
BatchTokens = Annotated[
    int | None,
    typer.Option(min=1, help="Tokens per batch; by default what suits device and memory.", rich_help_panel=MODEL),
]
Threads = Annotated[
    int | None, typer.Option(min=1, help="CPU threads; by default as many as torch takes.", rich_help_panel=MODEL)
]
Offline = Annotated[bool, typer.Option("--offline", help="Never use the network.", rich_help_panel=MODEL)]
Out = Annotated[Path | None, typer.Option("--out", "-o", help="File, or directory for shards.", rich_help_panel=OUT)]
Format = Annotated[
    str | None,
    typer.Option(help="parquet, hdf5, npz, safetensors, jsonl or csv; as the suffix says.", rich_help_panel=OUT),
]
OutDtype = Annotated[
    Literal["float32", "float16"], typer.Option(help="Number format of stored floats.", rich_help_panel=OUT)
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an earlier run at --out.", rich_help_panel=OUT)]
OnError = Annotated[
    Literal["stop", "skip"],
    typer.Option(help="After a bad record: stop, or skip it and note it.", rich_help_panel=RUN),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Only errors on stderr.", rich_help_panel=RUN)]
Json = Annotated[
    bool, typer.Option("--json", help="Machine-readable results or summary on stdout.", rich_help_panel=RUN)
]


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """Where and how a model computes: what every command shares that loads one, or several."""

    device: Device = "auto"
    dtype: Dtype = "float32"
    attention: Attention = "auto"
    batch_tokens: BatchTokens = None
    threads: Threads = None
    offline: Offline = False

    def loading(self) -> dict[str, Any]:
        """The same as `engine.load` takes it."""
        from esmkit.config import Settings

        given = {name: getattr(self, name) for name in ("device", "dtype", "attention", "batch_tokens", "threads")}
        return {**given, "settings": Settings.from_env(os.environ, offline=self.offline or None)}


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """Which model, and what it takes: what every command shares that computes; `run.load_model` acts on it."""

    lowercase: Annotated[
        Literal["error", "upper"], typer.Option(help="Refuse lower case, or read it as upper.", rich_help_panel=INPUT)
    ] = "error"
    strip_stop: Annotated[
        bool, typer.Option("--strip-stop", help="Drop one * at the end of a sequence.", rich_help_panel=INPUT)
    ] = False
    long: Annotated[
        Literal["error", "window", "truncate"],
        typer.Option(help="Sequences above --max-length.", rich_help_panel=INPUT),
    ] = "error"
    max_length: MaxLength = 2048
    model: Annotated[
        str,
        typer.Option("--model", "-m", help="Slug, hub id, or path; see 'esmkit models list'.", rich_help_panel=MODEL),
    ] = "esm2-mini"
    engine: EngineOptions = EngineOptions()
    quiet: Quiet = False
    json: Json = False


@dataclass(frozen=True, slots=True)
class ProteinOptions(ModelOptions):
    """Which proteins: what every command shares that reads them from one place."""

    source: Annotated[
        str,
        typer.Argument(
            metavar="INPUT",
            help="FASTA, CSV, TSV or Parquet (.gz .zst ...), or - for standard input.",
            show_default=False,
        ),
    ] = ""
    input_format: Annotated[
        str | None,
        typer.Option(help="fasta, csv, tsv or parquet; by default as the suffix says.", rich_help_panel=INPUT),
    ] = None
    id_column: Annotated[
        str | None, typer.Option(help="Column of a table that holds the ids.", rich_help_panel=INPUT)
    ] = None
    sequence_column: Annotated[
        str | None, typer.Option(help="Column of a table that holds the sequences.", rich_help_panel=INPUT)
    ] = None


@dataclass(frozen=True, slots=True)
class RunOptions(ProteinOptions):
    """The shared part of the command line of one result per record; `cli/run.py` acts on it."""

    sequence: Annotated[
        list[str] | None,
        typer.Option(metavar="RESIDUES", help="A sequence, instead of INPUT; may be repeated.", rich_help_panel=INPUT),
    ] = None
    out: Out = None
    format: Format = None
    out_dtype: OutDtype = "float32"
    overwrite: Overwrite = False
    shard_residues: Annotated[
        int | None,
        typer.Option(min=1, help="Residues per shard; by default about a minute of work.", rich_help_panel=OUT),
    ] = None
    on_error: OnError = "stop"


def with_options(kind: type[Any], name: str) -> Callable[[Function], Function]:
    """Turns the parameter `name` of a command, a dataclass of annotated fields, into options in its place.

    A field whose default is such a dataclass itself becomes its options, in the place of the field.
    """
    shared = list(_parameters(kind))

    def expand(command: Function) -> Function:
        signature = inspect.signature(command, eval_str=True)
        own = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in signature.parameters.values()]
        at = [parameter.name for parameter in own].index(name)
        own[at : at + 1] = shared

        @functools.wraps(command)
        def wrapper(**values: Any) -> Any:
            given = _taken(kind, values)
            return command(**{name: given}, **values)

        wrapper.__signature__ = signature.replace(parameters=own)  # type: ignore[attr-defined]
        wrapper.__annotations__ = {parameter.name: parameter.annotation for parameter in own}
        return typing.cast(Function, wrapper)

    return expand


def _parameters(kind: type[Any]) -> Iterator[inspect.Parameter]:
    hints = typing.get_type_hints(kind, include_extras=True)
    for field in dataclasses.fields(kind):
        if dataclasses.is_dataclass(field.default):
            yield from _parameters(type(field.default))
        else:
            annotation = hints[field.name]
            yield inspect.Parameter(
                field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=annotation
            )


def _taken(kind: type[Any], values: dict[str, Any]) -> Any:
    """The options of a dataclass, taken from what the command line says."""
    return kind(
        **{
            field.name: _taken(type(field.default), values)
            if dataclasses.is_dataclass(field.default)
            else values.pop(field.name)
            for field in dataclasses.fields(kind)
        }
    )


def with_run_options(command: Function) -> Function:
    """Gives a command the shared options: its `run: RunOptions` parameter becomes options on the command line."""
    return with_options(RunOptions, "run")(command)


def numbers(text: str, *, setting: str) -> tuple[int, ...]:
    """Integers from a comma-separated option such as `-1,0`.

    Raises:
        InvalidConfigError: it is no such list.

    Example:
        >>> numbers("-1, 3", setting="layers")
        (-1, 3)
    """
    from esmkit.errors import InvalidConfigError

    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        option = setting.replace("_", "-")
        raise InvalidConfigError(
            f"--{option} {text!r} is no list of integers; write for example --{option} 1,-1", setting=setting
        ) from None
