"""The paths of a target, and what is found there when it is opened."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from esmkit.errors import InvalidConfigError
from esmkit.sinks.files import FAILURES, MANIFEST, FolderLock, sha256_of, sweep
from esmkit.sinks.manifest import Manifest


@dataclass(frozen=True, slots=True)
class Place:
    """The paths of a target: the folder of its shards (for a single file a hidden one beside it) and its sidecars."""

    out: Path
    folder: Path
    single: bool

    @property
    def manifest(self) -> Path:
        """The manifest of the folder."""
        return self.folder / MANIFEST

    @property
    def failures(self) -> Path:
        """The failed records of the folder."""
        return self.folder / FAILURES

    def sidecar(self, name: str) -> Path:
        """Where the manifest or the failures of a complete run stand, beside a single file or in the directory."""
        return self.out.with_name(f"{self.out.name}.{name.removeprefix('_')}") if self.single else self.folder / name

    def claim(self, identity: Mapping[str, Any], *, overwrite: bool) -> Manifest:
        """The manifest to go on with: that of the run held here, or a new one.

        Raises:
            InvalidConfigError: the run held here had other arguments, or what is here is no run.
        """
        held = Manifest.read(self.sidecar(MANIFEST))
        if self.single:
            if not overwrite and (self.out.exists() or (held is None and self.sidecar(FAILURES).exists())):
                return self._claim_file(held, identity)
            held = Manifest.read(self.manifest)
        if held and not held.shards and not held.complete:
            held = None  # nothing was finished, so nothing binds the next run: a mistaken command can be corrected
        if held and not overwrite:
            held.demand_same(identity, self.out)
        if held is None or (overwrite and (held.complete or held.identity != identity)):
            held = Manifest(identity)
            held.write(self.manifest)
        if not held.shards:
            self.failures.unlink(missing_ok=True)
        sweep(self.folder, keep=held.files())
        return held

    def _claim_file(self, held: Manifest | None, identity: Mapping[str, Any]) -> Manifest:
        if held:
            held.demand_same(identity, self.out)
        if held is None or held.sha256 != sha256_of(self.out):
            path = self.out if self.out.exists() else self.sidecar(FAILURES)
            found = "has changed since the run that wrote it" if held else "exists and was not written by esmkit"
            raise InvalidConfigError(f"{path} {found}; choose another --out, or --overwrite", setting="out")
        return held

    def clear(self) -> None:
        """Delete the shards of an assembled file, the manifest last, since it says whose they are."""
        sweep(self.folder, keep=())
        self.failures.unlink(missing_ok=True)
        self.manifest.unlink(missing_ok=True)

    def leave(self, lock: FolderLock) -> None:
        """Release the lock, and delete a hidden folder in which nothing is left."""
        lock.release()
        if self.single:
            with suppress(OSError):
                self.folder.rmdir()
