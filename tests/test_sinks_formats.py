"""Every format found by the scan keeps every kind of column, every id and every dtype exactly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from esmkit.errors import InvalidConfigError, InvalidRecordError, ModelExecutionError, UnsupportedOutputError
from esmkit.sinks import Layout, formats, open_target, record_key
from esmkit.types import Column, Record, Result
from tests.sinks_readback import READERS, read_parquet

COLUMNS = (
    Column("score", "float", ()),
    Column("count", "int", ()),
    Column("filled", "str", ()),
    Column("vector", "float", (5,)),
    Column("residues", "float", ("L", 4)),
    Column("map", "float", ("L", "L")),
    Column("layers", "float", (3, "L")),
    Column("attentions", "float", (2, 3, "L", "L")),
    Column("positions", "int", ("M",)),
    Column("choices", "str", ("M", 2)),
)
LENGTHS = (3, 1, 7, 2, 4)
ODD_IDS = ("sp|P1|A B", "a/b/../c", "ünï 蛋白", ".", "..", "a.npy", "50%25", "..hidden.", "a", "'\"", "-1,x", "A/")
FORMATS = sorted(formats())


def make_result(index: int, record_id: str, length: int, columns: tuple[Column, ...]) -> Result:
    rng = np.random.default_rng(index)
    sizes = {"L": length, "M": index % 3}

    def value(column: Column) -> Any:
        shape = tuple(sizes[size] if isinstance(size, str) else size for size in column.shape)
        if column.dtype == "str":
            return rng.choice(["A", "longer tëxt", ""], size=shape) if shape else f'text "{index}", tëxt'
        if column.dtype == "int":
            return rng.integers(-5, 5, size=shape)
        return rng.standard_normal(shape, dtype=np.float32) * 100

    meta = {"length": length, "long": "window"} if index == 1 else {"length": length}
    return Result(index, record_id, {column.name: value(column) for column in columns}, meta)


def make_results(columns: tuple[Column, ...], ids: tuple[str, ...] | None = None) -> list[Result]:
    ids = ids or tuple(f"P{i}" for i in range(len(LENGTHS)))
    return [make_result(i, name, LENGTHS[i % len(LENGTHS)], columns) for i, name in enumerate(ids)]


def write_run(out: Path, results: list[Result], columns: tuple[Column, ...], **options: Any) -> list[Path]:
    """Write results and give back the files that hold them."""
    settings = {"format": None, "shard_records": 2, "shard_residues": 10**6, **options}
    by_index = {result.index: result for result in results}
    records = [Record(result.index, result.id, "M" * result.meta["length"]) for result in results]
    with open_target(out, columns=columns, arguments={}, provenance={"model": "m"}, **settings) as target:
        for shard in target.pending(records):
            for record in shard.records:
                shard.write(by_index[record.index])
            shard.commit()
        target.finish()
    return [out] if out.is_file() else sorted(out.glob("shard-*"))


def read_run(files: list[Path], name: str, layout: Layout) -> dict[str, dict[str, Any]]:
    whole: dict[str, dict[str, Any]] = {}
    for file in files:
        whole.update(READERS[name](file, layout))
    return whole


def assert_equal_run(found: dict[str, dict[str, Any]], results: list[Result], layout: Layout) -> None:
    assert set(found) == {result.id for result in results}
    compared = 0
    for result in results:
        for column, wanted in layout.arrays(result):
            value = np.asarray(found[result.id][column.name])
            value = value.astype(wanted.dtype).reshape(wanted.shape)
            assert value.tobytes() == wanted.tobytes() or value.tolist() == wanted.tolist(), (result.id, column.name)
            compared += 1
    assert compared == len(results) * len(layout.columns)


def held_by(name: str, columns: tuple[Column, ...] = COLUMNS) -> tuple[Column, ...]:
    return tuple(column for column in columns if formats()[name].refusal(column) is None)


def test_every_format_of_the_scan_has_a_reader_here() -> None:
    assert set(READERS) == set(FORMATS)
    assert all(name == form.name and form.suffixes for name, form in formats().items())


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("name", FORMATS)
def test_every_kind_of_column_comes_back_exactly(name: str, dtype: Any, tmp_path: Path) -> None:
    columns = held_by(name)
    assert len(columns) >= 4
    results = make_results(columns)
    files = write_run(tmp_path / "run", results, columns, format=name, dtype=dtype)
    assert len(files) == 3
    layout = Layout(columns, dtype, {})
    assert_equal_run(read_run(files, name, layout), results, layout)


@pytest.mark.parametrize("column", COLUMNS, ids=lambda column: column.name)
@pytest.mark.parametrize("name", FORMATS)
def test_each_column_alone_comes_back_exactly(name: str, column: Column, tmp_path: Path) -> None:
    if formats()[name].refusal(column):
        with pytest.raises(UnsupportedOutputError, match=f"{name} cannot hold {column.name}: .*parquet") as caught:
            open_target(
                tmp_path / "run",
                format=name,
                columns=[column],
                arguments={},
                provenance={},
                shard_records=1,
                shard_residues=1,
            )
        assert "parquet" in caught.value.choices
        assert name not in caught.value.choices
        assert not (tmp_path / "run").exists()
        return
    results = make_results((column,))[:1]
    layout = Layout((column,), "float32", {})
    files = write_run(tmp_path / "run", results, (column,), format=name)
    assert_equal_run(read_run(files, name, layout), results, layout)


@pytest.mark.parametrize("several", [False, True], ids=["one column", "several columns"])
@pytest.mark.parametrize("name", FORMATS)
def test_odd_ids_come_back_exactly(name: str, several: bool, tmp_path: Path) -> None:
    columns = held_by(name)[: 2 if several else 1]
    results = make_results(columns, ODD_IDS)
    layout = Layout(columns, "float32", {})
    files = write_run(tmp_path / "run", results, columns, format=name, shard_records=100)
    assert_equal_run(read_run(files, name, layout), results, layout)


@pytest.mark.parametrize("name", FORMATS)
def test_files_have_the_permissions_that_the_user_gives_new_files(name: str, tmp_path: Path) -> None:
    columns = (Column("score", "float", ()),)
    usual = tmp_path / "usual"
    usual.touch()
    for file in write_run(tmp_path / "run", make_results(columns), columns, format=name):
        assert file.stat().st_mode == usual.stat().st_mode


@pytest.mark.parametrize("name", [name for name in FORMATS if formats()[name].single_file])
def test_assembled_file_holds_what_the_shards_hold_and_is_reproducible(name: str, tmp_path: Path) -> None:
    columns = held_by(name)
    results, layout = make_results(columns, ODD_IDS), Layout(columns, "float32", {})
    suffix = formats()[name].suffixes[0]
    first = write_run(tmp_path / f"one{suffix}", results, columns)
    again = write_run(tmp_path / f"two{suffix}", results, columns)
    assert first == [tmp_path / f"one{suffix}"]
    assert_equal_run(read_run(first, name, layout), results, layout)
    assert first[0].read_bytes() == again[0].read_bytes()
    assert {p.name for p in tmp_path.iterdir()} == {
        f"{stem}{suffix}{more}" for stem in ("one", "two") for more in ("", ".manifest.json")
    }


@pytest.mark.parametrize("name", [name for name in FORMATS if name not in ("csv", "safetensors")])
def test_what_a_length_policy_did_is_stored(name: str, tmp_path: Path) -> None:
    columns = (Column("score", "float", ()),)
    results = make_results(columns)
    files = write_run(tmp_path / "run", results, columns, format=name)
    found = read_run(files, name, Layout(columns, "float32", {}))
    assert [str(found[result.id].get("long") or "") for result in results] == ["", "window", "", "", ""]


def test_safetensors_says_in_its_metadata_what_a_length_policy_did(tmp_path: Path) -> None:
    from safetensors import safe_open

    columns = (Column("score", "float", ()),)
    files = write_run(tmp_path / "run", make_results(columns), columns, format="safetensors")
    with safe_open(files[0], framework="numpy") as file:
        assert json.loads(file.metadata()["long"]) == {"P1": "window"}
        assert json.loads(file.metadata()["esmkit"]) == {"model": "m"}


def test_csv_is_read_by_eye(tmp_path: Path) -> None:
    columns = (Column("score", "float", ()), Column("pair", "float", (2,)), Column("name", "str", ()))
    results = [
        Result(0, "a, b", {"score": 0.1, "pair": np.array([1, 2.5]), "name": 'x"y'}, {"length": 3}),
        Result(1, "c", {"score": -1e-8, "pair": np.zeros(2), "name": ""}, {"length": 2, "long": "truncate"}),
    ]
    out = tmp_path / "out.csv"
    write_run(out, results, columns)
    assert out.read_text() == (
        "index,id,length,long,score,pair_0,pair_1,name\n"
        '0,"a, b",3,,0.1,1.0,2.5,"x""y"\n'
        "1,c,2,truncate,-1e-08,0.0,0.0,\n"
    )


def test_parquet_types_are_the_ones_in_the_documentation(tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    write_run(out, make_results(COLUMNS), COLUMNS, dtype="float16")
    schema = pq.read_schema(out)
    assert {name: str(schema.field(name).type) for name in ("score", "count", "vector", "layers")} == {
        "score": "float",
        "count": "int32",
        "vector": "fixed_size_list<element: halffloat not null>[5]",
        "layers": "fixed_size_list<element: list<element: halffloat not null> not null>[3]",
    }
    assert str(schema.field("residues").type) == (
        "list<element: fixed_size_list<element: halffloat not null>[4] not null>"
    )
    assert str(schema.field("attentions").type) == "list<element: halffloat not null>"
    assert json.loads(schema.metadata[b"esmkit"]) == {"model": "m"}


def test_parquet_row_groups_are_bounded_in_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("esmkit.sinks.parquet.ROW_GROUP_BYTES", 4096)
    columns = (Column("vector", "float", (64,)),)
    results = [make_result(i, f"P{i}", 3, columns) for i in range(60)]
    out = tmp_path / "out.parquet"
    layout = Layout(columns, "float32", {})
    for shard_records in (60, 7):
        write_run(out, results, columns, shard_records=shard_records, overwrite=True)
        metadata = pq.ParquetFile(out).metadata
        sizes = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
        assert sum(sizes) == 60
        assert 2 < max(sizes) <= 20
        assert_equal_run(read_parquet(out, layout), results, layout)


@pytest.mark.parametrize("name", ["parquet", "safetensors"])
def test_a_buffered_result_keeps_no_batch_alive(name: str, tmp_path: Path) -> None:
    import gc
    import weakref

    class Batch(np.ndarray):
        """An array that can be watched."""

    batch = np.zeros((1000, 5), np.float32).view(Batch)
    watch = weakref.ref(batch)
    layout = Layout((Column("vector", "float", (5,)),), "float32", {})
    writer = formats()[name].open(tmp_path / "file", layout)
    writer.write(Result(0, "a", {"vector": np.asarray(batch[3])}, {"length": 1}))
    del batch
    gc.collect()
    assert watch() is None
    writer.close()


@pytest.mark.parametrize("name", ["hdf5", "npz", "safetensors"])
def test_an_id_that_occurs_twice_is_refused_where_records_are_found_by_id(name: str, tmp_path: Path) -> None:
    columns = (Column("score", "float", ()),)
    with pytest.raises(InvalidRecordError, match="'twin' occurs twice"):
        write_run(tmp_path / "run", make_results(columns, ("twin", "twin")), columns, format=name)
    if formats()[name].single_file:
        with pytest.raises(InvalidRecordError, match="'twin' occurs twice"):
            write_run(
                tmp_path / f"out{formats()[name].suffixes[0]}",
                make_results(columns, ("twin", "b", "twin")),
                columns,
            )


def test_a_value_too_large_for_fp16_is_an_error_and_a_scalar_stays_fp32(tmp_path: Path) -> None:
    vector, scalar = Column("vector", "float", (2,)), Column("score", "float", ())
    large = Result(0, "big", {"vector": np.array([1, 1e5], np.float32)}, {"length": 1})
    with pytest.raises(InvalidConfigError, match="record 'big': vector holds a value beyond 65504"):
        write_run(tmp_path / "a", [large], (vector,), dtype="float16")
    small = Result(0, "big", {"score": -123456.789}, {"length": 1})
    (file,) = write_run(tmp_path / "b", [small], (scalar,), dtype="float16")
    assert pq.read_table(file)["score"].to_pylist() == [np.float32(-123456.789)]


@pytest.mark.parametrize("arrays", [{}, {"vector": np.zeros(3)}, {"vector": np.zeros((2, 1))}])
def test_an_array_of_another_shape_than_declared_is_an_error(arrays: dict[str, Any], tmp_path: Path) -> None:
    columns = (Column("vector", "float", (2,)),)
    with pytest.raises(ModelExecutionError, match=r"record 'a': vector should have the shape \(2,\)"):
        write_run(tmp_path / "run", [Result(0, "a", arrays, {"length": 1})], columns)


def test_column_names_that_collide_are_refused() -> None:
    for names in (("a", "a"), ("id",)):
        with pytest.raises(ValueError, match="must differ"):
            Layout(tuple(Column(name, "float", ()) for name in names), "float32", {})


@given(st.lists(st.text(min_size=1), min_size=2, unique=True))
def test_keys_of_different_ids_differ_and_give_the_ids_back(ids: list[str]) -> None:
    keys = [record_key(record_id) for record_id in ids]
    assert len(set(keys)) == len(ids)
    assert [unquote(key) for key in keys] == ids
    assert not any("/" in key or "\0" in key or key == "." or key.endswith(".npy") for key in keys)


def test_a_record_without_id_cannot_have_a_key() -> None:
    with pytest.raises(InvalidRecordError, match="without an id"):
        record_key("")


@pytest.mark.parametrize(
    ("name", "chosen", "message"),
    [
        ("out.parquet", "hdf5", "name of a parquet file, but the format is hdf5"),
        ("run", "excel", "no format is called 'excel'; choose one of: csv, hdf5"),
        ("existing.txt", None, "ends with none of: .*parquet"),
    ],
)
def test_a_target_that_makes_no_sense_is_refused(name: str, chosen: Any, message: str, tmp_path: Path) -> None:
    (tmp_path / "existing.txt").write_text("mine")
    with pytest.raises(InvalidConfigError, match=message):
        write_run(tmp_path / name, [], (Column("score", "float", ()),), format=chosen)
    assert [p.name for p in tmp_path.iterdir()] == ["existing.txt"]


def test_safetensors_as_one_file_is_refused_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedOutputError, match="--out out --format safetensors"):
        write_run(tmp_path / "out.safetensors", [], (Column("score", "float", ()),))
