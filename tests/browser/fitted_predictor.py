"""A predictor, and a server that has it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import esmkit
from esmkit.applications.fitting import FitOptions, fit, read_fit_data
from esmkit.applications.labelled import Columns
from esmkit.applications.predictors import Task
from tests.server_process import ServedProcess

SOLUBILITY = Path(__file__).parents[2] / "examples" / "solubility.csv"


@contextmanager
def served_with_predictor(folder: Path) -> Iterator[ServedProcess]:
    """`esmkit serve` with a predictor called `solubility`, with a baseline, that was fitted here."""
    columns = Columns("solubility", id="gene", split="split")
    data = read_fit_data({"train": str(SOLUBILITY)}, columns, Task("regression", "sequence", "solubility"))
    options = FitOptions("ridge", (2,), baselines=("composition",))
    place = fit(esmkit.load(), data, options).save(folder / "solubility")
    with ServedProcess(folder, "--predictor", str(place)) as server:
        yield server
