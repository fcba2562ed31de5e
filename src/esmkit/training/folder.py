"""The folder of a training run: what was asked, the log, the last checkpoint, and in the end what it made.

    run.json             recipe, data and start: what a resumed run must have in common with it
    log.jsonl            one line per step, one per validation
    checkpoint-00001234/ what was trained so far, with the state of the optimizer beside it
    model/, predictor/   what the run made

What is in a checkpoint is the business of the training, which writes and reads it. Each of these appears whole or not
at all, so a run that is killed at any moment goes on from its last checkpoint.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

import torch

from esmkit.errors import InvalidConfigError
from esmkit.sinks.files import LOCK, FolderLock, sync, temporary, write_whole
from esmkit.training.budget import Place, Position

RUN, LOG = "run.json", "log.jsonl"
CHECKPOINT, PARTIAL, STATE = "checkpoint-", ".partial", "training.pt"
CPU = torch.device("cpu")
Write = Callable[[Path], object]
"""Makes a folder of this name and fills it."""
Read = Callable[[Path], object]
"""Takes what `Write` left in a folder."""


class TrainingFolder:
    """A run on disk; a context, in which no other process works on it.

    Args:
        path: the folder; made when missing.
        identity: recipe, data and start, as they read back from JSON.
        product: the folder in it for what the run makes.

    Raises:
        InvalidConfigError: the folder holds another run, or something else, or another process is at work in it.
    """

    def __init__(self, path: Path, identity: Mapping[str, Any], *, product: str = "model") -> None:
        self.path = path
        self.product = path / product
        self._refuse_foreign()
        self._lock = FolderLock(path)
        try:
            self._claim(json.loads(json.dumps(identity)))
        except BaseException:
            self._lock.release()
            raise

    def checkpoint(self) -> Path | None:
        """The last checkpoint."""
        return max(self.path.glob(f"{CHECKPOINT}*"), default=None)

    def save(self, write: Write, optimizer: torch.optim.Optimizer, position: Position) -> Path:
        """Writes a checkpoint in place of the last one."""
        folder = self.path / f"{CHECKPOINT}{position.step:08d}"

        def write_with_state(unfinished: Path) -> None:
            write(unfinished)
            torch.save({"optimizer": optimizer.state_dict(), "position": asdict(position)}, unfinished / STATE)

        if self.checkpoint() != folder:
            self._publish(folder, write_with_state)
            for older in set(self.path.glob(f"{CHECKPOINT}*")) - {folder}:
                shutil.rmtree(older)
        return folder

    def restore(self, read: Read, optimizer: torch.optim.Optimizer) -> Position:
        """Fills what is trained and the optimizer from the last checkpoint, if any; the log goes back to there.

        Returns:
            Where the run goes on.
        """
        checkpoint = self.checkpoint()
        if checkpoint is None:
            return Position()
        read(checkpoint)
        state = torch.load(checkpoint / STATE, map_location=CPU, weights_only=True)
        optimizer.load_state_dict(state["optimizer"])
        position = Position(**state["position"] | {"place": Place(**state["position"]["place"])})
        self._cut_log(position.step)
        return position

    def log(self, lines: list[dict[str, Any]]) -> None:
        """Appends to the log."""
        with (self.path / LOG).open("a", encoding="utf-8") as file:
            file.writelines(f"{json.dumps(line)}\n" for line in lines)

    def finish(self, write: Write) -> Path:
        """Saves what the run made, once."""
        if not self.product.exists():
            self._publish(self.product, write)
        return self.product

    def read_log(self) -> list[dict[str, Any]]:
        """Every whole line of the log; a killed process may have left half a line at its end."""
        text = (self.path / LOG).read_text(encoding="utf-8") if (self.path / LOG).exists() else ""
        return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._lock.release()  # lets the next process in

    def _publish(self, folder: Path, write: Write) -> None:
        with tempfile.TemporaryDirectory(dir=self.path, prefix=".", suffix=PARTIAL) as temp:
            unfinished = Path(temp) / folder.name
            write(unfinished)
            for file in unfinished.rglob("*"):
                sync(file)
            unfinished.replace(folder)
            sync(self.path)

    def _cut_log(self, step: int) -> None:
        kept = [line for line in self.read_log() if line["step"] <= step]
        write_whole(self.path / LOG, "".join(f"{json.dumps(line)}\n" for line in kept))

    def _refuse_foreign(self) -> None:
        if not self.path.exists() or (self.path / RUN).exists():
            return
        known = {LOCK, temporary(Path(RUN)).name}
        if not self.path.is_dir() or {child.name for child in self.path.iterdir()} - known:
            raise InvalidConfigError(
                f"{self.path} exists and holds no training run; choose a new or an empty folder", setting="out"
            )

    def _claim(self, identity: dict[str, Any]) -> None:
        run = self.path / RUN
        for left in self.path.glob(f".*{PARTIAL}"):
            shutil.rmtree(left)
        if self.checkpoint() is None and not self.product.exists():
            write_whole(run, json.dumps(identity, indent=1) + "\n")
            self._cut_log(-1)
            return
        old, new = _flat(json.loads(run.read_text(encoding="utf-8"))), _flat(identity)
        changed = [name for name in {**old, **new} if old.get(name) != new.get(name)]
        if changed:
            listed = "; ".join(f"{n} was {old.get(n, 'absent')}, is {new.get(n, 'absent')}" for n in changed)
            raise InvalidConfigError(
                f"{self.path} holds a run that was asked for something else: {listed}; repeat its command to go on "
                f"with it, or choose another --out ({self.product} is where it ends)",
                setting=changed[0],
            )


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return flat
