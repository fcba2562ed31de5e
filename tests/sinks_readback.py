"""Reading what sinks wrote with the plain libraries: a file as {id: {column: value}}."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import h5py
import numpy as np
import pyarrow.parquet as pq
from safetensors.numpy import load_file

from esmkit.sinks import Layout


def read_parquet(path: Path, layout: Layout) -> dict[str, dict[str, Any]]:
    rows = pq.read_table(path).to_pylist()
    whole = {}
    for row in rows:
        arrays = {name: row[name] for name in (column.name for column in layout.columns)}
        for column in layout.columns:
            if len(column.shape) > 2:
                arrays[column.name] = np.reshape(row[column.name], row[f"{column.name}_shape"])
        whole[row["id"]] = {**arrays, "length": row["length"], "long": row["long"], "index": row["index"]}
    return whole


def read_keyed(arrays: dict[str, Any], layout: Layout) -> dict[str, dict[str, Any]]:
    whole: dict[str, dict[str, Any]] = {}
    for key, array in arrays.items():
        name, _, column = key.partition("/")
        whole.setdefault(unquote(name), {})[column or layout.columns[0].name] = array
    return whole


def read_hdf5(path: Path, layout: Layout) -> dict[str, dict[str, Any]]:
    arrays: dict[str, Any] = {}

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            arrays[name] = item.asstr()[()] if h5py.check_string_dtype(item.dtype) else item[()]
        if "long" in item.attrs:
            arrays[f"{name.partition('/')[0]}/long"] = item.attrs["long"]

    with h5py.File(path) as file:
        assert json.loads(file.attrs["esmkit"]) == {"model": "m"}
        file.visititems(visit)
    return read_keyed(arrays, layout)


def read_npz(path: Path, layout: Layout) -> dict[str, dict[str, Any]]:
    with np.load(path, allow_pickle=False) as file:
        return read_keyed({key: file[key] for key in file.files}, layout)


def read_safetensors(path: Path, layout: Layout) -> dict[str, dict[str, Any]]:
    return read_keyed(load_file(path), layout)


def read_jsonl(path: Path, layout: Layout) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in map(json.loads, path.read_text(encoding="utf-8").splitlines())}


def read_csv(path: Path, layout: Layout) -> dict[str, dict[str, Any]]:
    whole = {}
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            arrays: dict[str, Any] = dict(row)
            for column in layout.columns:
                if column.shape:
                    arrays[column.name] = [row[f"{column.name}_{i}"] for i in range(int(column.shape[0]))]
            whole[row["id"]] = arrays
    return whole


READERS = {
    "parquet": read_parquet,
    "hdf5": read_hdf5,
    "npz": read_npz,
    "safetensors": read_safetensors,
    "jsonl": read_jsonl,
    "csv": read_csv,
}
