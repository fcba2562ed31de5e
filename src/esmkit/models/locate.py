"""From what a user calls a model to the files that hold it; opens no network connection and reads no weights."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from esmkit.config import Settings
from esmkit.errors import UnknownModelError, WeightsError
from esmkit.models import registry
from esmkit.models.base import FAIR_ESM, TRANSFORMERS, Checkpoint, Family, FileFormat
from esmkit.models.tensorfiles import CONFIG, WEIGHTS, read_json, shards, unpickled
from esmkit.types import ModelShape

EMBEDDED = Path(__file__).parent / "embedded"
EMBEDDED_ORIGIN = "embedded"
DOWNLOAD = "download.json"
"""In a downloaded folder: hub id, revision, and size and sha256 of every file as the hub reported them."""
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Source:
    """Where the weights of one model are and what they must be, before any tensor is read.

    Attributes:
        slug: esmkit's name for it: a public slug, the hub id, or the name of the folder or file.
        family: the kind of model.
        shape: its sizes.
        file_format: how its files name tensors.
        files: the weights files, in order of name.
        origin: `embedded`, `org/name@revision`, or the path.
        sha256: what the digests of files must be, as far as they are known.
        size_bytes: what the sizes of files must be, as far as they are known.
        about: the `esmkit` block of config.json: `slug`, `trained`.
    """

    slug: str
    family: Family
    shape: ModelShape
    file_format: FileFormat
    files: tuple[Path, ...]
    origin: str
    sha256: Mapping[Path, str] = field(default_factory=dict)
    size_bytes: Mapping[Path, int] = field(default_factory=dict)
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def notice(self) -> str | None:
        """One line to show to users of the embedded model, which is here for trying things out; None for all others."""
        if self.origin != EMBEDDED_ORIGIN:
            return None
        return (
            f"{self.slug} is the small embedded model, for trying things out. "
            "For research: esmkit models pull esm2-650m, then --model esm2-650m"
        )


@cache
def embedded_slug() -> str:
    """The name of the model in the wheel, which is the default.

    Example:
        >>> embedded_slug()
        'esm2-mini'
    """
    return str(read_json(EMBEDDED / CONFIG)["esmkit"]["slug"])


def folder_of(name: str, settings: Settings) -> Path:
    """Where a slug, checkpoint name or hub id lies once it is downloaded.

    Raises:
        UnknownModelError: the name is none of these.
    """
    known = registry.checkpoint(name)
    if known is None and not _HUB_ID.fullmatch(name):
        raise _unknown(name)
    return settings.home / "models" / (known.slug if known else name.replace("/", "--"))


def find(name: str, settings: Settings) -> Source:
    """The files of a model.

    Args:
        name: slug, checkpoint name or hub id (downloaded before), the embedded model, or the path of a folder in
            transformers' layout or of a fair-esm `.pt` file. A known name wins over a path: write `./esm2-8m` for
            a folder of that name.
        settings: where downloads are.

    Raises:
        UnknownModelError: there is no such model.
        WeightsError: it is not downloaded yet, or its files are incomplete or of another kind.
    """
    if not name:
        raise _unknown(name)
    if name.casefold() == embedded_slug():
        return _from_folder(EMBEDDED, slug=embedded_slug(), origin=EMBEDDED_ORIGIN)
    known = registry.checkpoint(name)
    path = Path(name).expanduser()
    if known is None and path.is_dir():
        return _from_folder(path)
    if known is None and path.is_file():
        return _from_fair_esm(path)
    if known is None and (not _HUB_ID.fullmatch(name) or name.startswith(".")):
        if path.suffix or "/" in name:
            raise _no_path(name)
        raise _unknown(name)
    folder = folder_of(name, settings)
    if not folder.is_dir():
        raise _not_downloaded(known.slug if known else name, folder, is_public=known is not None)
    return _downloaded(folder, slug=known.slug if known else name, known=known)


def _downloaded(folder: Path, *, slug: str, known: Checkpoint | None) -> Source:
    """A folder below ESMKIT_HOME; one copied there by hand has no download.json and is checked as far as known."""
    record = read_json(folder / DOWNLOAD) if (folder / DOWNLOAD).exists() else {}
    files = record.get("files", {})
    digests = {name: file["sha256"] for name, file in files.items()} | dict(known.sha256 if known else {})
    return _from_folder(
        folder,
        slug=slug,
        origin=f"{record['hub_id']}@{record['revision']}" if record else str(folder),
        sha256={folder / name: digest for name, digest in digests.items()},
        size_bytes={folder / name: file["size_bytes"] for name, file in files.items()},
    )


def _from_folder(folder: Path, *, slug: str | None = None, origin: str | None = None, **expected: Any) -> Source:
    config = read_json(folder / CONFIG)
    family, shape = registry.recognise(TRANSFORMERS, config, folder / CONFIG)
    about = config.get("esmkit", {})
    return Source(
        slug=slug or about.get("slug") or folder.resolve().name,
        family=family,
        shape=shape,
        file_format=family.formats[TRANSFORMERS],
        files=_weights_in(folder),
        origin=origin or str(folder.resolve()),
        about=about,
        **expected,
    )


def _weights_in(folder: Path) -> tuple[Path, ...]:
    found = next((folder / name for name in WEIGHTS if (folder / name).exists()), None)
    if found is None:
        raise WeightsError(f"{folder} holds no weights; looked for {', '.join(WEIGHTS)}", path=str(folder))
    if found.suffix != ".json":
        return (found,)
    files = tuple(folder / name for name in shards(found))
    missing = [file.name for file in files if not file.exists()]
    if missing:
        raise WeightsError(
            f"{folder} lacks {', '.join(missing)}, listed in {found.name}",
            path=str(folder / missing[0]),
            expected=f"{len(files)} shards",
            found=f"{len(files) - len(missing)}",
        )
    return files


def _from_fair_esm(path: Path) -> Source:
    """A fair-esm checkpoint. One that bears the name of a public checkpoint must be that checkpoint."""
    if path.suffix != ".pt":
        raise WeightsError(f"{path} is no .pt file; give the folder that holds it and its config.json", path=str(path))
    content = unpickled(path)
    settings = content.get("cfg", {})
    settings = settings.get("model") if isinstance(settings, Mapping) else None
    if settings is None or "model" not in content:
        raise WeightsError(
            f"{path} is no fair-esm ESM-2 checkpoint: it needs the entries 'cfg' and 'model', it has "
            f"{', '.join(map(repr, list(content)[:5])) or 'none'}",
            path=str(path),
        )
    values = settings if isinstance(settings, Mapping) else vars(settings)
    family, shape = registry.recognise(FAIR_ESM, values, path)
    known = registry.checkpoint(path.stem)
    digest = known.sha256.get(path.name) if known else None
    return Source(
        slug=known.slug if known else path.stem,
        family=family,
        shape=shape,
        file_format=family.formats[FAIR_ESM],
        files=(path, _contact_regression(path)),
        origin=str(path.resolve()),
        sha256={path: digest} if digest else {},
    )


def _contact_regression(path: Path) -> Path:
    regression = path.with_name(f"{path.stem}-contact-regression.pt")
    if not regression.exists():
        raise WeightsError(
            f"{regression} does not exist; fair-esm keeps the contact head of {path.name} there. Download it from "
            f"https://dl.fbaipublicfiles.com/fair-esm/regression/{regression.name} into the same folder (a model "
            "that was fine-tuned keeps the one of its origin, under the new name)",
            path=str(regression),
        )
    return regression


def _not_downloaded(slug: str, folder: Path, *, is_public: bool) -> WeightsError:
    otherwise = "" if is_public else f", and {slug} is no folder here"
    return WeightsError(
        f"{slug} is not downloaded{otherwise}. Download it with: esmkit models pull {slug}",
        path=str(folder),
        expected="a downloaded model",
        found="nothing",
    )


def _no_path(name: str) -> UnknownModelError:
    slugs = [embedded_slug(), *(known.slug for known in registry.checkpoints())]
    return UnknownModelError(
        f"{name} does not exist; give the folder of a checkpoint (config.json and weights), a fair-esm .pt file, or "
        f"one of {', '.join(slugs)}",
        name=name,
        choices=slugs,
    )


def _unknown(name: str) -> UnknownModelError:
    return registry.unknown_model(name, [embedded_slug()])
