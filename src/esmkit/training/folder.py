"""The folder of a training run: what was asked, the log, the last checkpoint, and in the end the model.

    run.json             recipe, data and start: what a resumed run must have in common with it
    log.jsonl            one line per step, one per validation
    checkpoint-00001234/ a model that esmkit and transformers open, with the state of the optimizer beside it
    model/               the trained model

Each of these appears whole or not at all, so a run that is killed at any moment goes on from its last checkpoint.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

import torch
from torch import nn

from esmkit.config import Settings
from esmkit.errors import InvalidConfigError
from esmkit.models.save import save_pretrained
from esmkit.models.weights import load
from esmkit.sinks.files import LOCK, FolderLock, sync, temporary, write_whole
from esmkit.training.budget import Place, Position

RUN, LOG, MODEL = "run.json", "log.jsonl", "model"
CHECKPOINT, PARTIAL, STATE = "checkpoint-", ".partial", "training.pt"
CPU = torch.device("cpu")


class TrainingFolder:
    """A run on disk; a context, in which no other process works on it.

    Args:
        path: the folder; made when missing.
        identity: recipe, data and start, as they read back from JSON.

    Raises:
        InvalidConfigError: the folder holds another run, or something else, or another process is at work in it.
    """

    def __init__(self, path: Path, identity: Mapping[str, Any]) -> None:
        self.path = path
        self._refuse_foreign()
        self._lock = FolderLock(path)
        try:
            self._claim(json.loads(json.dumps(identity)))
        except BaseException:
            self._lock.release()
            raise

    @property
    def model(self) -> Path:
        """Where the trained model is once the run has ended."""
        return self.path / MODEL

    def checkpoint(self) -> Path | None:
        """The last checkpoint."""
        return max(self.path.glob(f"{CHECKPOINT}*"), default=None)

    def save(
        self, module: nn.Module, optimizer: torch.optim.Optimizer, position: Position, *, about: Mapping[str, Any]
    ) -> Path:
        """Writes a checkpoint in place of the last one."""
        folder = self.path / f"{CHECKPOINT}{position.step:08d}"
        if self.checkpoint() == folder:
            return folder
        with tempfile.TemporaryDirectory(dir=self.path, prefix=".", suffix=PARTIAL) as temp:
            unfinished = save_pretrained(module, Path(temp) / folder.name, about=about)
            torch.save({"optimizer": optimizer.state_dict(), "position": asdict(position)}, unfinished / STATE)
            for file in unfinished.iterdir():
                sync(file)
            unfinished.replace(folder)
            sync(self.path)
        for older in set(self.path.glob(f"{CHECKPOINT}*")) - {folder}:
            shutil.rmtree(older)
        return folder

    def restore(self, module: nn.Module, optimizer: torch.optim.Optimizer) -> Position:
        """Fills model and optimizer from the last checkpoint, if there is one; the log goes back to there.

        Returns:
            Where the run goes on.
        """
        checkpoint = self.checkpoint()
        if checkpoint is None:
            return Position()
        saved = load(str(checkpoint), settings=Settings(checkpoint, offline=True), device=CPU, dtype=torch.float32)
        module.load_state_dict(saved.module.state_dict())
        state = torch.load(checkpoint / STATE, map_location=CPU, weights_only=True)
        optimizer.load_state_dict(state["optimizer"])
        position = Position(**state["position"] | {"place": Place(**state["position"]["place"])})
        self._cut_log(position.step)
        return position

    def log(self, lines: list[dict[str, Any]]) -> None:
        """Appends to the log."""
        with (self.path / LOG).open("a", encoding="utf-8") as file:
            file.writelines(f"{json.dumps(line)}\n" for line in lines)

    def finish(self, module: nn.Module, dtype: torch.dtype, about: Mapping[str, Any]) -> Path:
        """Saves the trained model, once."""
        return self.model if self.model.exists() else save_pretrained(module, self.model, dtype=dtype, about=about)

    def read_log(self) -> list[dict[str, Any]]:
        """Every whole line of the log; a killed process may have left half a line at its end."""
        text = (self.path / LOG).read_text(encoding="utf-8") if (self.path / LOG).exists() else ""
        return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._lock.release()  # lets the next process in

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
        if self.checkpoint() is None and not self.model.exists():
            write_whole(run, json.dumps(identity, indent=1) + "\n")
            self._cut_log(0)
            return
        old, new = _flat(json.loads(run.read_text(encoding="utf-8"))), _flat(identity)
        changed = [name for name in {**old, **new} if old.get(name) != new.get(name)]
        if changed:
            listed = "; ".join(f"{n} was {old.get(n, 'absent')}, is {new.get(n, 'absent')}" for n in changed)
            raise InvalidConfigError(
                f"{self.path} holds a run that was asked for something else: {listed}; repeat its command to go on "
                f"with it, or choose another --out (--from {self.path / MODEL} starts where it ended)",
                setting=changed[0],
            )


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return flat
