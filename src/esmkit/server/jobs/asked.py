"""What a job shall compute: from the query of the request, checked against the model, and back from the store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from esmkit import sinks
from esmkit.alphabet import ResiduePolicy
from esmkit.batching import LengthPolicy
from esmkit.errors import InvalidConfigError, UnsupportedOutputError
from esmkit.outputs import Output, OutputOptions, build
from esmkit.server.jobs.intake import InputFormat
from esmkit.types import Column, ModelShape


class JobQuery(BaseModel):
    """The query of a new job; the input is the body of the request."""

    model_config = ConfigDict(extra="forbid")

    model: str = Field(description="Slug of the model.", examples=["esm2-mini"], max_length=200)
    outputs: str = Field("mean", description="What to compute, with commas: mean, per_residue, contacts, ...")
    format: str = Field("parquet", description="Of the result: parquet, hdf5, npz, jsonl or csv.", max_length=40)
    dtype: Literal["float32", "float16"] = Field("float32", description="Number format of stored floats.")
    layers: str = Field("-1", description="Layers of embeddings, 0..N or from the end, with commas.", max_length=1000)
    attention_layers: str | None = Field(None, description="Layers of attention maps; all by default.", max_length=1000)
    attention_heads: str | None = Field(None, description="Heads of attention maps; all by default.", max_length=1000)
    vocabulary: Literal["standard", "full"] = Field("standard", description="Columns of logits: 20 or 33 tokens.")
    top_k: int = Field(5, description="Residues per masked position.")
    long: Literal["error", "window", "truncate"] = Field(
        "error", description="What happens to sequences longer than the server's max_residues."
    )
    lowercase: Literal["error", "upper"] = Field("error", description="Refuse lower case, or read it as upper.")
    strip_stop: bool = Field(False, description="Drop one * at the end of a sequence.")
    on_error: Literal["stop", "skip"] = Field(
        "stop",
        description="A record without an answer: stop refuses the input, or fails the job; skip lists it in /failures.",
    )
    input: InputFormat | None = Field(None, description="Format of the body; by default as it looks.")
    id_column: str | None = Field(None, description="Column of a table that holds the ids.", max_length=200)
    sequence_column: str | None = Field(None, description="Column of a table that holds the sequences.", max_length=200)
    name: str = Field("", description="For people, up to 100 characters.", max_length=100)
    webhook: str | None = Field(
        None, description="URL that gets a POST when the job has ended; its host must be allowed.", max_length=2000
    )


@dataclass(frozen=True, slots=True)
class Asked:
    """What changes the results of a job.

    Attributes:
        max_length: residues of the longest sequence, or of a window of a longer one.
        format: of the result.
        input: format of the input.
    """

    outputs: tuple[str, ...]
    layers: tuple[int, ...]
    attention_layers: tuple[int, ...] | None
    attention_heads: tuple[int, ...] | None
    vocabulary: Literal["standard", "full"]
    top_k: int
    long: Literal["error", "window", "truncate"]
    max_length: int
    lowercase: Literal["error", "upper"]
    strip_stop: bool
    on_error: Literal["stop", "skip"]
    format: str
    dtype: Literal["float32", "float16"]
    input: InputFormat
    id_column: str | None
    sequence_column: str | None

    @classmethod
    def of(cls, query: JobQuery, *, input: InputFormat, max_length: int) -> Asked:  # noqa: A002 (its name)
        """What a query asks of an input.

        Raises:
            InvalidConfigError: a list of numbers is none.
        """
        values: dict[str, Any] = {each.name: getattr(query, each.name, None) for each in fields(cls)}
        names = tuple(dict.fromkeys(name.strip() for name in query.outputs.split(",") if name.strip()))
        numbers = {name: _numbers(values[name], name) for name in ("layers", "attention_layers", "attention_heads")}
        values |= numbers | {"outputs": names, "input": input, "max_length": max_length}
        return cls(**values)

    @classmethod
    def read(cls, stored: Mapping[str, Any]) -> Asked:
        """The same from the store."""
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in stored.items()
        }
        return cls(**values)

    def stored(self) -> dict[str, Any]:
        """For the store."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @property
    def options(self) -> OutputOptions:
        """For the outputs.

        Raises:
            InvalidConfigError: one is out of its range.
        """
        return OutputOptions(
            layers=self.layers,
            attention_layers=self.attention_layers,
            attention_heads=self.attention_heads,
            vocabulary=self.vocabulary,
            top_k=self.top_k,
        )

    @property
    def length(self) -> LengthPolicy:
        """For long sequences."""
        return LengthPolicy(self.long, self.max_length)

    @property
    def residues(self) -> ResiduePolicy:
        """For what is no residue."""
        return ResiduePolicy(self.lowercase, self.strip_stop)

    def built(self, shape: ModelShape) -> tuple[list[Output], list[Column]]:
        """The outputs, and the columns of the result.

        Raises:
            UnsupportedOutputError: there is no such output, or the format cannot hold it.
            InvalidConfigError: an option does not suit the model, or there is no such format.
        """
        if not self.outputs:
            raise UnsupportedOutputError("name at least one output, such as outputs=mean", output="")
        outputs = build(self.outputs, shape, self.options)
        columns = [column for output in outputs for column in output.columns()]
        form = sinks.formats().get(self.format)
        usable = [name for name, each in sorted(sinks.formats().items()) if each.single_file]
        if form is None or not form.single_file:
            raise InvalidConfigError(f"format {self.format!r}: choose {', '.join(usable)}", setting="format")
        form.check(columns)
        for output in outputs:
            output.needs()
        return outputs, columns


def _numbers(text: str | None, setting: str) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise InvalidConfigError(
            f"{setting}={text[:40]!r} is no list of integers; write for example {setting}=1,-1", setting=setting
        ) from None
