"""The commands on real proteins: what they write, what they print, and where."""

from __future__ import annotations

import csv
import io
import json
import os
import threading
from pathlib import Path

import h5py
import numpy as np
import pyarrow.parquet as pq
import pytest

import esmkit as library
from esmkit.cli import progress
from tests.cli_calls import EXAMPLES, SHORT, Esmkit, examples, in_process, write_fasta
from tests.embedded import SHAPE

NOTICE = "esm2-mini is the small embedded model"


@pytest.fixture
def esmkit(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Esmkit:
    return in_process(monkeypatch, capsys)


@pytest.fixture
def proteins(tmp_path: Path) -> Path:
    known = examples()
    return write_fasta(tmp_path / "proteins.fasta", [(name, known[name]) for name in SHORT])


def ids(path: Path) -> list[str]:
    return pq.read_table(path)["id"].to_pylist()


def test_embed_writes_the_mean_of_every_protein_in_order(esmkit: Esmkit, tmp_path: Path) -> None:
    done = esmkit("embed", EXAMPLES, "--out", tmp_path / "mean.parquet")
    assert (done.code, done.out) == (0, "")
    table = pq.read_table(tmp_path / "mean.parquet")
    assert table.column_names == ["index", "id", "length", "long", "mean_6"]
    assert table["id"].to_pylist() == list(examples())
    vectors = np.stack(table["mean_6"].to_numpy())
    np.testing.assert_allclose(vectors, library.load().embed(list(examples().values())), atol=1e-5)
    assert "48 proteins, 14,079 residues" in done.err
    assert f"results in {tmp_path / 'mean.parquet'}" in done.err
    assert "peak memory" in done.err


def test_include_gives_several_outputs_in_one_pass(esmkit: Esmkit, proteins: Path, tmp_path: Path) -> None:
    names = "mean, max,bos,per_residue,contacts,logits,attentions,log_prob,pseudo_log_likelihood"
    assert esmkit("embed", proteins, "--include", names, "--layers", "0,-1", "-o", tmp_path / "all.h5").code == 0
    length = len(examples()[SHORT[0]])
    with h5py.File(tmp_path / "all.h5") as file:
        shapes = {name: value.shape for name, value in file[SHORT[0]].items()}
    assert shapes == {
        **{f"{pool}_{layer}": (SHAPE.width,) for pool in ("mean", "max", "bos") for layer in (0, 6)},
        **{f"per_residue_{layer}": (length, SHAPE.width) for layer in (0, 6)},
        "contacts": (length, length),
        "logits": (length, 20),
        "attentions": (6, length),
        "log_prob": (),
        "log_prob_residues": (),
        "pseudo_log_likelihood": (),
        "pseudo_perplexity": (),
        "pseudo_log_likelihood_residues": (),
    }


@pytest.mark.parametrize("pool", ["mean", "max", "bos"])
def test_pool_chooses_the_embedding(esmkit: Esmkit, proteins: Path, tmp_path: Path, pool: str) -> None:
    assert esmkit("embed", proteins, "--pool", pool, "--layers", "2", "--out", tmp_path / "out.parquet").code == 0
    vectors = np.stack(pq.read_table(tmp_path / "out.parquet")[f"{pool}_2"].to_numpy())
    known = examples()
    wanted = library.load().embed([known[name] for name in SHORT], layers=2, pool=pool)
    np.testing.assert_allclose(vectors, wanted, atol=1e-5)


@pytest.mark.parametrize(
    ("command", "keys", "shape"),
    [
        (["contacts"], ["{id}"], ("L", "L")),
        (["attentions"], ["{id}"], (6, "L")),
        (["attentions", "--attention-layers", "-1,1", "--attention-heads", "3"], ["{id}"], (2, 1, "L", "L")),
        (["logits"], ["{id}"], ("L", 20)),
        (["logits", "--vocabulary", "full"], ["{id}"], ("L", 33)),
        (["embed", "--include", "per_residue"], ["{id}"], ("L", SHAPE.width)),
        (
            ["likelihood", "--method", "log_prob"],
            ["{id}/log_prob", "{id}/log_prob_residues"],
            (),
        ),
    ],
)
def test_arrays_come_by_id(
    esmkit: Esmkit,
    proteins: Path,
    tmp_path: Path,
    command: list[str],
    keys: list[str],
    shape: tuple[int | str, ...],
) -> None:
    name, *options = command
    assert esmkit(name, proteins, *options, "--out", tmp_path / "out.npz").code == 0
    known = examples()
    with np.load(tmp_path / "out.npz") as arrays:
        assert list(arrays) == [key.format(id=name) for name in SHORT for key in keys]
        for name in SHORT:
            length = len(known[name])
            expected = tuple(length if size == "L" else size for size in shape)
            assert {arrays[key.format(id=name)].shape for key in keys} == {expected}


def test_likelihood_prints_a_table_of_80_columns(esmkit: Esmkit, proteins: Path) -> None:
    done = esmkit("likelihood", proteins)
    assert done.code == 0
    header, *rows = done.out.splitlines()
    assert header.split() == ["id", "length", "log_prob", "pseudo_log_likelihood", "pseudo_perplexity"]
    assert [row.split()[0] for row in rows] == list(SHORT)
    assert {len(line) for line in (header, *rows)} == {len(header)}
    assert len(header) <= 80
    known = examples()
    perplexity = library.load().pseudo_perplexity(known[SHORT[0]])
    assert float(rows[0].split()[-1]) == pytest.approx(perplexity, abs=1e-3)


def test_table_has_whole_ids_in_a_pipe_and_fits_a_terminal(
    esmkit: Esmkit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["sp|Q8WZ42|TITIN_HUMAN_isoform_12", "蛋白质" * 8, "red\x1b[31m"]
    fasta = write_fasta(tmp_path / "ids.fasta", [(name, "MKTAYIAKQR") for name in names])
    piped = esmkit("likelihood", fasta, "--method", "log_prob").out.splitlines()
    assert piped[1].startswith(names[0])
    assert piped[2].startswith(names[1])
    assert "\x1b" not in piped[3]
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    shown = esmkit("likelihood", fasta, "--method", "log_prob").out.splitlines()
    assert shown[1].startswith("sp|Q8WZ42|TITIN_HUM… ")
    assert shown[2].startswith("蛋白质蛋白质蛋白质 … ")  # 9 letters of 2 columns, and one column that stays free


def test_an_id_beyond_the_encoding_of_the_terminal_stops_nothing(
    esmkit: Esmkit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fasta = write_fasta(tmp_path / "ids.fasta", [("é蛋", "MKTAYIAKQR")])
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="latin-1", write_through=True)
    monkeypatch.setattr("sys.stdout", terminal)
    assert esmkit("likelihood", fasta, "--method", "log_prob").code == 0
    assert terminal.buffer.getvalue().decode("latin-1").splitlines()[1].startswith("é\\u86cb ")


def test_predict_shows_best_residues_and_the_filled_sequence(esmkit: Esmkit) -> None:
    done = esmkit("predict", "--sequence", "MKT<mask>YIAKQ<mask>", "--top-k", "3")
    assert done.code == 0
    header, *rows = [line.split() for line in done.out.splitlines()]
    assert header[:2] == ["id", "position"]
    assert [row[:2] for row in rows] == [["seq1", "4"], ["seq1", "10"], ["filled", "1"]]
    assert [len(row) for row in rows] == [2 + 2 * 3, 2 + 2 * 3, 3]
    assert rows[2][2] == f"MKT{rows[0][2]}YIAKQ{rows[1][2]}"


def test_json_gives_one_object_a_line(esmkit: Esmkit) -> None:
    done = esmkit("predict", "--sequence", "MKT<mask>YI", "--sequence", "MK<mask>", "--json")
    first, second = (json.loads(line) for line in done.out.splitlines())
    assert (first["id"], first["length"], first["masked_positions"]) == ("seq1", 6, [4])
    assert (second["id"], second["length"], second["masked_positions"]) == ("seq2", 3, [3])
    assert len(second["predicted_residues"][0]) == len(second["predicted_probabilities"][0]) == 5


def test_json_with_out_is_one_summary(esmkit: Esmkit, proteins: Path, tmp_path: Path) -> None:
    done = esmkit("likelihood", proteins, "--method", "log_prob", "--json", "--out", tmp_path / "scores.csv")
    facts = json.loads(done.out)
    assert (facts["records"], facts["residues"], facts["computed_residues"]) == (3, 168, 168)
    assert (facts["failures"], facts["shards"], facts["shards_resumed"]) == (0, 1, 0)
    assert facts["out"] == str(tmp_path / "scores.csv")
    assert facts["peak_memory_bytes"] > 10_000_000
    with (tmp_path / "scores.csv").open() as file:
        assert [row["id"] for row in csv.DictReader(file)] == list(SHORT)


def test_notice_of_the_embedded_model_is_one_line_on_stderr_unless_quiet(esmkit: Esmkit) -> None:
    loud = esmkit("likelihood", "--sequence", "MKTA")
    assert NOTICE not in loud.out
    assert [NOTICE in line for line in loud.err.splitlines()].count(True) == 1
    assert "esmkit models pull" in loud.err
    quiet = esmkit("likelihood", "--sequence", "MKTA", "--quiet")
    assert (quiet.out, quiet.err) == (loud.out, "")


def test_standard_input_is_read(
    esmkit: Esmkit, proteins: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with proteins.open() as file:
        monkeypatch.setattr("sys.stdin", file)
        assert esmkit("embed", "-", "--out", tmp_path / "out.parquet").code == 0
    assert ids(tmp_path / "out.parquet") == list(SHORT)


def test_a_named_pipe_loses_no_record_to_the_progress_bar(esmkit: Esmkit, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(EXAMPLES.read_bytes()))
    writer.start()
    assert esmkit("embed", pipe, "--out", tmp_path / "out.parquet").code == 0
    writer.join()
    assert ids(tmp_path / "out.parquet") == list(examples())


def test_a_table_is_read_by_chosen_columns(esmkit: Esmkit, tmp_path: Path) -> None:
    (tmp_path / "in.tsv").write_text("mutant\tprotein\nA1G\tMKTA\n007\tMKTG\n")
    columns = ("--id-column", "mutant", "--sequence-column", "protein")
    assert esmkit("embed", tmp_path / "in.tsv", *columns, "--out", tmp_path / "out.parquet").code == 0
    assert ids(tmp_path / "out.parquet") == ["A1G", "007"]


@pytest.mark.parametrize(
    ("policy", "meta"),
    [
        ("window", {"policy": "window", "windows": [[1, 100], [71, 170], [141, 240]]}),
        ("truncate", {"policy": "truncate", "windows": [[1, 100]]}),
    ],
)
def test_long_sequences_say_what_was_done(esmkit: Esmkit, tmp_path: Path, policy: str, meta: object) -> None:
    fasta = write_fasta(tmp_path / "long.fasta", [("long", "MKTAYIAKQR" * 24), ("short", "MKTA")])
    options = ("--long", policy, "--max-length", "100", "--out", tmp_path / "out.parquet")
    assert esmkit("embed", fasta, *options).code == 0
    rows = pq.read_table(tmp_path / "out.parquet").to_pylist()
    assert [(row["id"], row["length"]) for row in rows] == [("long", 240), ("short", 4)]
    assert json.loads(rows[0]["long"]) == meta
    assert rows[1]["long"] is None


def test_a_table_marks_what_was_not_computed_as_a_whole(esmkit: Esmkit, tmp_path: Path) -> None:
    fasta = write_fasta(tmp_path / "long.fasta", [("long", "MKTAYIAKQR" * 12), ("short", "MKTA")])
    options = ("--method", "log_prob", "--long", "truncate", "--max-length", "100")
    rows = [line.split() for line in esmkit("likelihood", fasta, *options).out.splitlines()]
    assert [(row[0], row[1], row[3:]) for row in rows[1:]] == [("long", "120", ["truncate"]), ("short", "4", [])]
    long, short = map(json.loads, esmkit("likelihood", fasta, *options, "--json").out.splitlines())
    assert long["long"] == {"policy": "truncate", "windows": [[1, 100]]}
    assert "long" not in short


def test_progress_is_plain_lines_where_there_is_no_terminal(
    esmkit: Esmkit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "LINE_EVERY_S", 0.0)
    done = esmkit("embed", EXAMPLES, "--batch-tokens", "2000", "--out", tmp_path / "out.parquet")
    lines = [line for line in done.err.splitlines() if "residues, " in line and "left" in line]
    assert len(lines) >= 4
    assert "%, about" in lines[-1]
    assert "\r" not in done.err
    assert "\x1b" not in done.err


def test_progress_is_a_bar_in_a_terminal(esmkit: Esmkit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("TERM", "xterm")
    done = esmkit("embed", EXAMPLES, "--batch-tokens", "2000", "--out", tmp_path / "out.parquet")
    assert "━" in done.err
    assert "residues" in done.err
    assert "48 proteins" in done.err.splitlines()[-2]
    quiet = esmkit("embed", EXAMPLES, "--batch-tokens", "2000", "--out", tmp_path / "quiet.parquet", "--quiet")
    assert quiet.err == ""


def test_plot_draws_one_picture(esmkit: Esmkit, tmp_path: Path) -> None:
    done = esmkit("contacts", "--sequence", examples()["5PTI_A"], "--plot", tmp_path / "new" / "map.png")
    assert done.code == 0
    assert (tmp_path / "new" / "map.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert "results in" not in done.err


def test_plot_draws_one_picture_per_record_into_a_directory(esmkit: Esmkit, tmp_path: Path) -> None:
    names = ["sp|P1|A", "../../etc/passwd", "$\\broken{math$", "蛋白质"]
    fasta = write_fasta(tmp_path / "in.fasta", [(name, "MKTAYIAKQR") for name in names])
    done = esmkit("contacts", fasta, "--plot", tmp_path / "maps", "--out", tmp_path / "maps.h5", "--quiet")
    assert (done.code, done.err) == (0, "")
    drawn = sorted(path.name for path in (tmp_path / "maps").iterdir())
    assert drawn == ["00001_sp_P1_A.png", "00002_etc_passwd.png", "00003_broken_math.png", "00004_.png"]
    with h5py.File(tmp_path / "maps.h5") as file:
        assert len(file) == 4


def test_models_are_listed(esmkit: Esmkit) -> None:
    done = esmkit("models", "list")
    assert done.code == 0
    assert all(slug in done.out for slug in ("esm2-mini", "esm2-8m", "esm2-650m", "esm2-15b"))


def test_version_says_what_runs_here(esmkit: Esmkit) -> None:
    assert json.loads(esmkit("version", "--json").out)["esmkit"] == library.__version__
    assert library.__version__ in esmkit("version").out.splitlines()[0]
