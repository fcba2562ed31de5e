"""How to read what `esmkit embed` wrote: run `python examples/show_embeddings.py embeddings.parquet`."""

import sys

import pyarrow.parquet as pq

ROWS = 8

table = pq.read_table(sys.argv[1])
column = table.column_names[-1]  # mean_6: the mean over residues after layer 6
vectors = table[column].combine_chunks().flatten().to_numpy().reshape(len(table), -1)  # [records, width]

print(f"\n{sys.argv[1]}: {len(table)} proteins, {column} of {vectors.shape[1]} numbers each\n")
print(f"{'id':<8} {'length':>6}   {column}")
for name, length, vector in zip(table["id"], table["length"], vectors[:ROWS], strict=False):
    print(f"{name.as_py():<8} {length.as_py():>6}   {' '.join(f'{number:7.3f}' for number in vector[:5])}  ...")
print(f"... and {max(len(table) - ROWS, 0)} more")
