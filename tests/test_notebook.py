"""examples/esm2.ipynb: its cells run as plain Python, in order, and it holds the outputs of such a run."""

from __future__ import annotations

import contextlib
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest

NOTEBOOK = Path(__file__).parents[1] / "examples" / "esm2.ipynb"


def code_cells() -> list[dict[str, Any]]:
    return [cell for cell in json.loads(NOTEBOOK.read_text())["cells"] if cell["cell_type"] == "code"]


def words(text: str) -> list[str]:
    """What is said, without numbers after a point, which differ in the last digit between machines."""
    return re.sub(r"\.\d+", "", text).split()


def test_every_cell_runs_and_says_what_is_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    import matplotlib

    monkeypatch.chdir(NOTEBOOK.parent)
    monkeypatch.setitem(matplotlib.rcParams, "backend", "agg")
    namespace: dict[str, Any] = {}
    for cell in code_cells():
        said = io.StringIO()
        source = "".join(cell["source"]).replace("plt.show()", "plt.close()")  # nobody looks
        with contextlib.redirect_stdout(said):
            exec(compile(source, NOTEBOOK.name, "exec"), namespace)
        stored = "".join("".join(output["text"]) for output in cell["outputs"] if output["output_type"] == "stream")
        assert words(said.getvalue()) == words(stored)
    assert namespace["contacts"].shape == (58, 58)


def test_it_was_run_in_order_without_an_error_and_is_small() -> None:
    assert [cell["execution_count"] for cell in code_cells()] == list(range(1, len(code_cells()) + 1))
    outputs = [output for cell in code_cells() for output in cell["outputs"]]
    assert {output["output_type"] for output in outputs} == {"stream", "display_data"}
    assert NOTEBOOK.stat().st_size < 100_000
