"""The target of a run as its driver holds it: the manifest, on this machine or mirrored to a URL."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from esmkit.cluster.files.lease import Lease
from esmkit.cluster.files.place import Place, Remote, SharedFolder
from esmkit.errors import InvalidConfigError
from esmkit.inputs.remote import is_url
from esmkit.sinks import Target, formats, open_target
from esmkit.sinks.files import FAILURES, LOCK, MANIFEST, shard_number
from esmkit.sinks.manifest import FinishedShard


@dataclass(frozen=True, slots=True)
class Held:
    """An open target.

    Attributes:
        target: the manifest and its rules.
        place: where workers put shards.
        finished: shards of an earlier run that are still there.
        publish: to be called after every change of the manifest.
    """

    target: Target
    place: Place
    finished: Mapping[int, FinishedShard]
    publish: Callable[[], None]


@contextmanager
def held(out: str, **options: Any) -> Iterator[Held]:
    """Opens a target for workers anywhere.

    Args:
        out: a path, or the URL of a folder.
        options: of `sinks.open_target`.

    Raises:
        InvalidConfigError: as `sinks.open_target`; somebody else writes there.
    """
    if not is_url(out):
        with open_target(Path(out), **options) as target:
            yield Held(target, SharedFolder(target.shards.folder), target.intact(), lambda: None)
        return
    _demand_folder(out)
    remote = Remote(out.rstrip("/"))
    with Lease(remote), TemporaryDirectory(prefix="esmkit-") as name:
        staged = Path(name)
        present = _present(remote)
        for kept in (MANIFEST, FAILURES):
            remote.download(kept, staged)
        with open_target(staged, **options) as target:
            publish = _publisher(remote, staged)
            publish()
            known = {shard.file for shard in target.finished.values()}
            for file in present - known:
                if shard_number(file) is not None:
                    remote.delete(file)
            finished = {number: shard for number, shard in target.finished.items() if shard.file in present}
            yield Held(target, remote, finished, publish)


def _present(remote: Remote) -> set[str]:
    """The files there, if they are those of a run."""
    names = remote.names() - {LOCK}
    if names and MANIFEST not in names:
        raise InvalidConfigError(
            f"{remote.url} is not empty and holds no run of esmkit (no {MANIFEST}; found {min(names)!r}); nothing "
            "there was touched: choose another --out",
            setting="out",
        )
    return names


def _publisher(remote: Remote, staged: Path) -> Callable[[], None]:
    def publish() -> None:
        """The failures first: what the manifest says is there when it says so."""
        if (staged / FAILURES).exists():
            remote.upload(staged / FAILURES)
        else:
            remote.delete(FAILURES)
        remote.upload(staged / MANIFEST)

    return publish


def _demand_folder(url: str) -> None:
    if url.lower().endswith(tuple(suffix for form in formats().values() for suffix in form.suffixes)):
        raise InvalidConfigError(
            f"--out {url}: at a URL results are a folder of shards, not one file; leave the suffix out, and name the "
            "format with --format",
            setting="out",
        )
