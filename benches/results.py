"""Result files: one JSON per run, with everything that is needed to read its numbers later."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benches import machine

FOLDER = Path(__file__).parent / "results"
QUICK_FOLDER = machine.ROOT / "build" / "benches"


def write(kind: str, arguments: Mapping[str, Any], facts: Mapping[str, Any], content: Mapping[str, Any]) -> Path:
    """Writes `<date>-<kind>-<machine>.json`, with the models or parts in its name where not all were measured.

    Args:
        kind: cpu, gpu, memory, io or http.
        arguments: of the command line; a quick run goes to a folder that is not committed.
        facts: what `machine.facts` gave when the run started.
        content: what was measured.
    """
    now = datetime.now(UTC)
    folder = QUICK_FOLDER if arguments["quick"] else FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    chosen = arguments.get("models") or arguments.get("parts") or ()
    words = [f"{now:%Y-%m-%d}", kind, machine.name_of(facts), *chosen]
    path = folder / f"{'-'.join(words)}.json"
    result = {
        "kind": kind,
        "date": f"{now:%Y-%m-%dT%H:%M:%SZ}",
        "commit": machine.commit(),
        "machine": facts,
        "versions": machine.versions(),
        "arguments": {name: str(value) if isinstance(value, Path) else value for name, value in arguments.items()},
        **content,
    }
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    say(f"wrote {path}")
    return path


def newest(kind: str, folder: Path = FOLDER) -> dict[str, Any] | None:
    """The last result of a kind, None if there is none.

    Models or parts that were measured one by one, with the same commit on the same machine, come together in it.
    """
    found = [json.loads(path.read_text(encoding="utf-8")) for path in folder.glob(f"*-{kind}-*.json")]
    if not found:
        return None
    last: dict[str, Any] = max(found, key=_date)
    for key in {"models", "parts"} & last.keys():
        last[key] = {
            name: content
            for result in sorted(found, key=_date)
            if result["commit"] == last["commit"] and result["machine"]["processor"] == last["machine"]["processor"]
            for name, content in result[key].items()
        }
    return last


def _date(result: dict[str, Any]) -> str:
    return str(result["date"])


def say(line: str) -> None:
    """Progress, on stderr."""
    print(f"bench: {line}", file=sys.stderr, flush=True)
