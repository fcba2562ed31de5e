"""Proteins with labels: tables are read and checked, split into parts, and predictions are scored.

`labels` is what a cell says, `splits` which rows are for what, `table` both together, `metrics` how well labels are
predicted. Training on batches of them is the business of `esmkit.training`.
"""

from esmkit.applications.labelled.table import Columns, Labelled, LabelledRows, read_rows

__all__ = ["Columns", "Labelled", "LabelledRows", "read_rows"]
