"""index.json: what the vectors of an index are made of, and how well its approximate search finds them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Self

from esmkit.applications.vectors import Pooling
from esmkit.engine import Model
from esmkit.errors import InvalidConfigError, InvalidInputError
from esmkit.sinks.files import write_whole

CARD = "index.json"
FORMAT = 1
"""Version of the layout of the folder."""
APPROXIMATE_FROM = 200_000
"""About where an approximate search begins to take less time than an exact one that serves 256 queries in one pass."""

Kind = Literal["text", "number"]


@dataclass(frozen=True, slots=True)
class Space:
    """How a protein becomes a vector: only vectors of one space can be compared.

    Attributes:
        slug: name of the model.
        source: where that was found.
        weights_sha256: of its weights.
        layers: 0..N, whose pooled representations are put side by side.
        pooling: how residues become one vector.
        dimension: numbers of a vector, which is scaled to length 1.
    """

    slug: str
    source: str
    weights_sha256: str
    layers: tuple[int, ...]
    pooling: Pooling
    dimension: int

    @classmethod
    def of(cls, model: Model, *, layers: Sequence[int] = (-1,), pooling: Pooling = "mean") -> Self:
        """The space of a model."""
        about = model.provenance
        numbers = tuple(dict.fromkeys(model.shape.layer(layer) for layer in layers))
        dimension = len(numbers) * model.width
        return cls(about["slug"], about["source"], about["weights_sha256"], numbers, pooling, dimension)

    def locate(self) -> str:
        """The path or name under which the model is to be loaded."""
        return self.source if Path(self.source).exists() else self.slug

    def demand(self, found: Space, folder: Path) -> None:
        """Refuses vectors of another space.

        Raises:
            InvalidConfigError: the model, its layers or the pooling are others.
        """
        if found.weights_sha256 != self.weights_sha256:
            raise InvalidConfigError(
                f"{folder} was built with {self.slug} with weights of sha256 {self.weights_sha256[:12]}..., not with "
                f"{found.slug} with {found.weights_sha256[:12]}...; name the model that it was built with by --model, "
                "or build another index with this one",
                setting="model",
            )
        if (found.layers, found.pooling) != (self.layers, self.pooling):
            raise InvalidConfigError(
                f"{folder} holds vectors of {self._recipe()}, and these are of {found._recipe()}; make them the same "
                "way, or build another index",
                setting="layers",
            )

    def _recipe(self) -> str:
        layers = ", ".join(map(str, self.layers))
        return f"{self.pooling} pooling, layer{'' if len(self.layers) == 1 else 's'} {layers}"


@dataclass(frozen=True, slots=True)
class Metadata:
    """A column of the input that is kept with each protein, and can be filtered by.

    Attributes:
        name: of the column.
        kind: `text` as it was written, or `number`.
    """

    name: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Approximate:
    """An approximate index, and how much it found of what an exact search finds.

    Attributes:
        kind: as the library that made it calls it.
        proteins: in the index when its recall was measured.
        queries: proteins of the index that were searched for, drawn at random.
        neighbours: the nearest other ones of each that were to be found.
        recall: the share of these that was found.
    """

    kind: str
    proteins: int
    queries: int
    neighbours: int
    recall: float


@dataclass(frozen=True, slots=True)
class IndexCard:
    """Everything that index.json says.

    Attributes:
        space: how vectors were made.
        columns: what is kept with each protein.
        proteins: how many there were when the last build or addition was done.
        complete: False until the build is done.
        approximate_from: proteins from which on search is approximate.
        approximate: None where search is exact.
        provenance: what made the vectors.
    """

    space: Space
    columns: tuple[Metadata, ...] = ()
    proteins: int = 0
    complete: bool = False
    approximate_from: int = APPROXIMATE_FROM
    approximate: Approximate | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Writes index.json, whole or not at all."""
        text = json.dumps({"format": FORMAT, **asdict(self)}, indent=1, ensure_ascii=False, allow_nan=False)
        write_whole(folder / CARD, text + "\n")

    @classmethod
    def read(cls, folder: Path) -> IndexCard:
        """Reads index.json.

        Raises:
            InvalidInputError: the folder holds none, or it is damaged or newer than this esmkit.
        """
        path = folder / CARD
        if not path.is_file():
            raise InvalidInputError(
                f"{folder} is no index: it holds no {CARD}; make one with 'esmkit index build'", source=str(folder)
            )
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content.pop("format") != FORMAT:
                raise ValueError(f"it is not of format {FORMAT}, and this esmkit reads no other")
            return cls(**content)._typed()
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InvalidInputError(
                f"{path} cannot be read: {error}; build the index again", source=str(path)
            ) from error

    def _typed(self) -> IndexCard:
        """JSON has no tuples and no classes."""
        space: Any = self.space
        columns: Any = self.columns
        approximate: Any = self.approximate
        return replace(
            self,
            space=Space(**space | {"layers": tuple(space["layers"])}),
            columns=tuple(Metadata(**column) for column in columns),
            approximate=approximate and Approximate(**approximate),
        )

    def column(self, name: str, *, kind: Kind | None = None) -> Metadata:
        """A column by its name.

        Raises:
            InvalidConfigError: there is none, or it is of another kind; names those that there are.
        """
        usable = [column for column in self.columns if kind is None or column.kind == kind]
        for column in usable:
            if column.name == name:
                return column
        names = ", ".join(repr(column.name) for column in usable) or "none"
        of_kind = f"columns of {kind}" if kind else "columns"
        raise InvalidConfigError(
            f"the index has no {'column' if kind is None else f'column of {kind}'} {name!r}; its {of_kind}: {names}",
            setting="column",
        )
