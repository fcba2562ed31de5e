"""Downloads of checkpoints from the model hub, through huggingface-hub: resumed, checked, then renamed into place.

A download grows in `ESMKIT_HOME/models/NAME.partial`; the folder gets its name only when every file in it is right.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from esmkit.config import Settings
from esmkit.errors import InvalidConfigError, WeightsError
from esmkit.models import digests, registry
from esmkit.models.locate import DOWNLOAD, EMBEDDED, embedded_slug, find, folder_of
from esmkit.models.tensorfiles import CONFIG, WEIGHTS, shards
from esmkit.models.weights import check_files


@dataclass(frozen=True, slots=True)
class _Remote:
    """A file on the hub and what it must be: the SHA-256 of a large file, the git object id of a small one."""

    name: str
    size_bytes: int
    git_oid: str
    sha256: str | None

    def check(self, path: Path) -> None:
        """Raises WeightsError unless the file at `path` is this one."""
        size_bytes = path.stat().st_size
        if size_bytes != self.size_bytes:
            raise _wrong(self.name, f"{self.size_bytes} bytes", f"{size_bytes} bytes")
        if self.sha256 is not None:
            expected, found = f"sha256 {self.sha256}", f"sha256 {digests.sha256_of(path)}"
        else:
            blob = b"blob %d\0" % size_bytes + path.read_bytes()
            expected, found = (
                f"git id {self.git_oid}",
                f"git id {hashlib.sha1(blob, usedforsecurity=False).hexdigest()}",
            )
        if found != expected:
            raise _wrong(self.name, expected, found)


def pull(name: str, settings: Settings) -> Path:
    """Downloads a model unless it is here already, intact; shows progress on stderr when that is a terminal.

    Args:
        name: slug, checkpoint name or hub id.
        settings: where to, and from where.

    Returns:
        The folder with the files. After an interruption, the next call goes on where this one stopped.

    Raises:
        UnknownModelError: there is no such model.
        InvalidConfigError: the settings say offline.
        WeightsError: the hub cannot be reached, lacks the model, or sent something else than was published.
    """
    from huggingface_hub.utils import WeakFileLock  # type: ignore[attr-defined]

    if name.casefold() == embedded_slug():
        return EMBEDDED
    folder = folder_of(name, settings)
    if is_intact(name, settings):
        return folder
    if settings.offline:
        raise InvalidConfigError(
            f"cannot download {name}: offline mode is on (--offline, ESMKIT_OFFLINE or HF_HUB_OFFLINE)",
            setting="offline",
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    with WeakFileLock(folder.with_name(f".{folder.name}.lock")):
        if not is_intact(name, settings):
            _download(name, folder, settings)
    return folder


def is_intact(name: str, settings: Settings) -> bool:
    """Whether a model is downloaded and its files are what they were when published."""
    if not folder_of(name, settings).is_dir():
        return False
    try:
        check_files(find(name, settings), settings.home)
    except WeightsError:
        return False
    return True


def _download(name: str, folder: Path, settings: Settings) -> None:
    known = registry.checkpoint(name)
    hub_id = known.hub_id if known else name
    partial = folder.with_name(f"{folder.name}.partial")
    if folder.is_dir() and not partial.exists():
        folder.rename(partial)  # damaged: what is still right in it is kept
    partial.mkdir(exist_ok=True)
    with _hub_errors(hub_id, settings):
        revision, remotes = _listing(hub_id, settings)
    done: dict[str, dict[str, int | str]] = {}
    for remote in _wanted(hub_id, remotes, partial):
        path = _fetch(remote, hub_id, revision, partial, settings)
        sha256 = remote.sha256 or digests.sha256_of(path)
        expected = known.sha256.get(remote.name, sha256) if known else sha256
        if sha256 != expected:
            path.unlink()
            raise _wrong(remote.name, f"sha256 {expected}", f"sha256 {sha256}")
        done[remote.name] = {"size_bytes": remote.size_bytes, "sha256": sha256}
    record = {"hub_id": hub_id, "revision": revision, "files": done}
    digests.write_atomically(partial / DOWNLOAD, json.dumps(record, indent=2) + "\n")
    for path in partial.iterdir():
        if path.name not in (*done, DOWNLOAD):
            path.unlink()
    if folder.exists():
        shutil.rmtree(folder)
    partial.rename(folder)


def _listing(hub_id: str, settings: Settings) -> tuple[str, dict[str, _Remote]]:
    """The newest revision of a model on the hub and its files by name."""
    from huggingface_hub import HfApi

    info = HfApi(endpoint=settings.hub_url).model_info(hub_id, files_metadata=True)
    remotes = {}
    for file in info.siblings or []:
        sha256 = file.lfs.sha256 if file.lfs else None
        remotes[file.rfilename] = _Remote(file.rfilename, file.size or 0, file.blob_id or "", sha256)
    return info.sha or "main", remotes


def _wanted(hub_id: str, remotes: Mapping[str, _Remote], partial: Path) -> Iterator[_Remote]:
    """The files that loading needs; the list of shards is read once the index has been fetched."""
    weights = next((name for name in WEIGHTS if name in remotes), WEIGHTS[0])
    for name in (CONFIG, weights):
        yield _listed(name, hub_id, remotes)
    if weights.endswith(".json"):
        for name in shards(partial / weights):
            yield _listed(name, hub_id, remotes)


def _listed(name: str, hub_id: str, remotes: Mapping[str, _Remote]) -> _Remote:
    if name not in remotes:
        raise WeightsError(f"{hub_id} has no file {name} on the hub", path=name, found=", ".join(remotes))
    return remotes[name]


def _fetch(remote: _Remote, hub_id: str, revision: str, partial: Path, settings: Settings) -> Path:
    """One file, whole and right, in the partial folder."""
    path = partial / remote.name
    if path.exists():
        try:
            remote.check(path)
        except WeightsError:
            path.unlink()
        else:
            return path
    growing = partial / f"{remote.name}.{remote.git_oid[:12]}.incomplete"  # never continued with another version
    _stream(remote, growing, hub_id, revision, settings)
    try:
        remote.check(growing)
    except WeightsError:
        growing.unlink()
        raise
    return growing.replace(path)


def _stream(remote: _Remote, growing: Path, hub_id: str, revision: str, settings: Settings) -> None:
    """Appends what is missing. Not hf_hub_download: since 2.0 it starts again from nothing after an interruption."""
    from huggingface_hub import hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

    with _hub_errors(hub_id, settings), growing.open("ab") as file:
        http_get(
            hf_hub_url(hub_id, remote.name, revision=revision, endpoint=settings.hub_url),
            file,
            resume_size=file.tell(),
            headers=build_hf_headers(library_name="esmkit"),
            expected_size=remote.size_bytes,
            displayed_filename=remote.name,
        )


@contextmanager
def _hub_errors(hub_id: str, settings: Settings) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # huggingface-hub lets through errors of its HTTP library, which changes by version
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise WeightsError(
            f"cannot download {hub_id} from {settings.hub_url}: {reason}. Run the same command again: it goes on "
            "where it stopped",
            path=hub_id,
            found=reason,
        ) from error


def _wrong(name: str, expected: str, found: str) -> WeightsError:
    return WeightsError(
        f"the hub sent a wrong {name}: {found}, expected {expected}. It was thrown away; try again later",
        path=name,
        expected=expected,
        found=found,
    )
