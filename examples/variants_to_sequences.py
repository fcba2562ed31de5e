"""Variants of a protein (A24G, A24G:K30R) as whole sequences, for `esmkit fit`.

    python examples/variants_to_sequences.py scores.csv WILD_TYPE_SEQUENCE sequences.csv

Every column of the table stays; `mutated_sequence` is new. A variant that does not fit the wild type stops it by name.
"""

import csv
import sys

from esmkit.applications.mutations.table import VariantTable

source, wild_type, out = sys.argv[1:]
table = VariantTable(source, wild_type=wild_type)
names = [column.name for column in table.cells]
with open(out, "w", newline="") as file:  # noqa: PTH123
    rows = csv.writer(file)
    rows.writerow(names)
    rows.writerows([variant.shown[name] for name in names] for variant in table.variants())
