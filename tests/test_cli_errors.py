"""What goes wrong at the command line ends in a message that helps, the right exit code, and no traceback."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch

from esmkit.engine.runner import Runner
from tests.cli_calls import Esmkit, in_process, write_fasta
from tests.embedded import SHAPE

BAD = """>good1 first
MKTAYIAKQR
>bad
MKTA
YIJKQR
>good1 again
MKK
>empty
>digit
MK1
>lower
mkt
>stop
MKT*
>good2
MVLSPADKTN
"""


@pytest.fixture
def esmkit(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Esmkit:
    monkeypatch.chdir(tmp_path)
    write_fasta(tmp_path / "in.fasta", [("a", "MKTAYIAKQR"), ("b", "MVLSPADKTN")])
    return in_process(monkeypatch, capsys)


def message(esmkit: Esmkit, *arguments: object, code: int = 2) -> str:
    """The one line of an error, with nothing on stdout."""
    done = esmkit(*arguments, "--quiet")
    assert done.out == ""
    assert done.code == code, done.err
    assert done.err.startswith("esmkit: error: ")
    assert done.err.count("\n") == 1
    return done.err.removeprefix("esmkit: error: ").rstrip("\n")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("embed in.fasta", "name a file or directory for the results: --out"),
        ("contacts in.fasta", "name a file or directory for the results: --out"),
        ("embed --out x.parquet", "give either INPUT or --sequence, one of the two"),
        ("embed in.fasta --sequence MKT --out x.parquet", "give either INPUT or --sequence, one of the two"),
        ("embed --sequence MKT --id-column id --out x.parquet", "--sequence takes none of them"),
        ("embed in.fasta --pool max --include bos --out x.parquet", "one of the two: --include bos,max"),
        ("embed in.fasta --out in.fasta", "is the input itself"),
        ("embed in.fasta --layers 7 --out x.parquet", "layer 7 does not exist: this model has layers 0"),
        ("embed in.fasta --layers x --out x.parquet", "--layers 'x' is no list of integers"),
        ("embed in.fasta --include mean,nonsense --out x.parquet", "unknown output 'nonsense'; choose from attention"),
        ("embed in.fasta --include predict --out x.parquet", "record 'a' has no <mask>"),
        (
            f"attentions in.fasta --attention-heads {SHAPE.num_heads + 1} --out x.npz",
            f"head {SHAPE.num_heads + 1} does not exist: this model has heads 1 to {SHAPE.num_heads}",
        ),
        ("attentions in.fasta --attention-layers 0 --out x.npz", "layer 0 is the input embedding"),
        ("embed in.fasta --model esm3 --out x.parquet", "no model is called 'esm3'"),
        ("embed in.fasta --device cuda:7 --out x.parquet", "device 'cuda:7' cannot be used here"),
        (
            "embed in.fasta --device quantum --out x.parquet",
            "device 'quantum' cannot be used here (there is no such kind of device); choose auto, cpu, cuda, cuda:N or",
        ),
        ("embed in.fasta --model ./nodir --out x.parquet", "./nodir does not exist; give the folder of a checkpoint"),
        ("embed in.fasta --attention varlen --out x.parquet", "'varlen' needs CUDA"),
        ("embed in.fasta --out x --format xls", "no format is called 'xls'; choose one of: csv, hdf5"),
        ("embed in.fasta --out x.npz --format hdf5", "x.npz is the name of a npz file, but the format is hdf5"),
        ("embed in.fasta --out x.csv", f"csv cannot hold mean_6: it has {SHAPE.width} values per record"),
        ("embed absent.fasta --out x.parquet", "cannot open absent.fasta: No such file or directory"),
        ("embed . --out x.parquet", "cannot open .: Is a directory"),
        ("embed in.fasta --input-format xls --out x.parquet", "'xls' is no input format; choose one of csv, fasta"),
        ("contacts in.fasta --plot both.png", "one picture, but there are several records; give a directory"),
        ("contacts in.fasta --plot map.jpg", "a picture ends with .png, .pdf, .svg"),
        ("contacts --sequence MKT --plot in.fasta/map.png", "in.fasta: File exists"),
        ("embed in.fasta --out in.fasta/x.parquet", "Not a directory"),
    ],
)
def test_wrong_arguments_say_what_is_right(esmkit: Esmkit, arguments: str, words: str, tmp_path: Path) -> None:
    assert words in message(esmkit, *arguments.split())
    made = {path.name for path in tmp_path.iterdir() if not path.name.startswith(".")}
    assert made == {"in.fasta"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("embed in.fasta --threads 0", "'--threads': Input should be greater than or equal to 1"),
        ("embed in.fasta --max-length 3", "'--max-length': Input should be greater than or equal to 4"),
        ("embed in.fasta --long cut", "'cut' is not one of 'error', 'window', 'truncate'"),
        ("predict in.fasta --top-k 21", "'--top-k': Input should be less than or equal to 20"),
        ("embed in.fasta --outt x", "No such option"),
        ("embed in.fasta second.fasta", "unexpected extra argument"),
        ("embde in.fasta", "No such command"),
    ],
)
def test_the_parser_names_the_option(esmkit: Esmkit, arguments: str, words: str) -> None:
    done = esmkit(*arguments.split())
    assert (done.code, done.out) == (2, "")
    assert words in done.err
    assert "Try 'esmkit" in done.err


def test_without_arguments_the_commands_are_shown(esmkit: Esmkit) -> None:
    done = esmkit()
    assert done.code == 2
    assert "likelihood" in done.out + done.err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (">a\nMKTA\n>b x\nMKTA\nYIJKQR\n", "record 'b' (in.fasta, line 5), position 7: found 'J'; ESM-2 has no token"),
        (">a\nMKTA\n>a\nMK\n", "record 'a' (in.fasta, line 3) has an id that an earlier record has"),
        (">a\nMK TA\n", "record 'a' (in.fasta, line 2), position 3: found ' '; remove digits and spaces"),
        (">a\nMKT*\n", "position 4: found '*'; a stop is no residue: drop a final one with --strip-stop"),
        (">a\nmkt\n", "position 1: found 'm'; lower case is accepted only with --lowercase upper"),
        (">a\n", "record 'a' (in.fasta, line 1) has an empty sequence"),
        ("", "in.fasta holds no records"),
        ("MKTA\n", "in.fasta, line 1: found 'MKTA' where a FASTA header"),
        (
            f">a\n{'MKTA' * 600}\n",
            "record 'a' (in.fasta, line 1) has 2400 residues, the limit is 2048; choose --long window",
        ),
    ],
)
def test_bad_input_is_named_by_record_line_and_position(esmkit: Esmkit, tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "in.fasta").write_text(text)
    assert words in message(esmkit, "embed", "in.fasta", "--out", "x.parquet")
    assert not (tmp_path / "x.parquet").exists()


def test_what_the_message_offers_is_accepted(esmkit: Esmkit, tmp_path: Path) -> None:
    (tmp_path / "in.fasta").write_text(f">a\nMKT*\n>b\nmkt\n>c\n{'MKTA' * 600}\n")
    options = ("--strip-stop", "--lowercase", "upper", "--long", "window", "--out", "x.parquet")
    assert esmkit("embed", "in.fasta", *options).code == 0
    assert pq.read_table("x.parquet")["length"].to_pylist() == [3, 3, 2400]


def test_contacts_of_a_windowed_protein_are_refused(esmkit: Esmkit) -> None:
    write_fasta(Path("long.fasta"), [("long", "MKTA" * 600)])
    words = message(esmkit, "contacts", "long.fasta", "--long", "window", "--out", "x.h5")
    assert "contacts relates residues that no window holds together" in words


def failures(path: Path) -> dict[int, dict[str, Any]]:
    return {row["index"]: row["error"] for row in map(json.loads, path.read_text().splitlines())}


def test_skip_writes_failures_beside_the_results_and_exits_1(esmkit: Esmkit, tmp_path: Path) -> None:
    Path("bad.fasta").write_text(BAD)
    done = esmkit("embed", "bad.fasta", "--on-error", "skip", "--out", "x.parquet")
    assert done.code == 1
    assert "6 of them failed, listed in" in done.err
    assert pq.read_table("x.parquet")["id"].to_pylist() == ["good1", "good2"]
    listed = failures(tmp_path / "x.parquet.failures.jsonl")
    assert {index: error["code"] for index, error in listed.items()} == {
        1: "user.invalid_sequence",
        2: "user.invalid_record",
        3: "user.invalid_record",
        4: "user.invalid_sequence",
        5: "user.invalid_sequence",
        6: "user.invalid_sequence",
    }
    assert (listed[1]["line"], listed[1]["position"], listed[1]["residue"]) == (5, 7, "J")
    again = esmkit("embed", "bad.fasta", "--on-error", "skip", "--out", "x.parquet", "--json")
    assert (again.code, json.loads(again.out)["computed_residues"]) == (1, 0)


def test_skip_names_failures_on_stderr_where_there_is_no_file(esmkit: Esmkit) -> None:
    Path("bad.fasta").write_text(BAD)
    done = esmkit("likelihood", "bad.fasta", "--method", "log_prob", "--on-error", "skip", "--quiet")
    assert done.code == 1
    assert [line.split()[0] for line in done.out.splitlines()] == ["id", "good1", "good2"]
    skipped = re.findall(r"^esmkit: skipped: record '(\w+)'", done.err, re.MULTILINE)
    assert skipped == ["bad", "good1", "empty", "digit", "lower", "stop"]


def test_stop_shows_results_before_the_first_failure(esmkit: Esmkit) -> None:
    Path("bad.fasta").write_text(BAD)
    done = esmkit("likelihood", "bad.fasta", "--method", "log_prob", "--quiet")
    assert done.code == 2
    assert [line.split()[0] for line in done.out.splitlines()] == ["id", "good1"]


def test_other_arguments_at_the_same_place_are_refused_and_named(esmkit: Esmkit) -> None:
    assert esmkit("embed", "in.fasta", "--out", "x.parquet").code == 0
    before = Path("x.parquet").read_bytes()
    assert "layers was [6], is [2]" in message(esmkit, "embed", "in.fasta", "--layers", 2, "--out", "x.parquet")
    assert Path("x.parquet").read_bytes() == before
    assert esmkit("embed", "in.fasta", "--layers", 2, "--out", "x.parquet", "--overwrite").code == 0
    assert Path("x.parquet").read_bytes() != before


def test_the_last_layer_by_either_number_is_the_same_run(esmkit: Esmkit) -> None:
    assert esmkit("embed", "in.fasta", "--layers", -1, "--out", "x.parquet").code == 0
    again = esmkit("embed", "in.fasta", "--layers", 6, "--out", "x.parquet", "--json")
    assert json.loads(again.out)["shards_resumed"] == 1


def test_a_finished_run_is_not_taken_for_one_that_drew_pictures(esmkit: Esmkit) -> None:
    assert esmkit("contacts", "in.fasta", "--out", "x.h5").code == 0
    assert 'is "maps"' in message(esmkit, "contacts", "in.fasta", "--out", "x.h5", "--plot", "maps")


@pytest.mark.parametrize("out", ["mine.parquet", "folder"])
def test_what_is_not_ours_stays(esmkit: Esmkit, tmp_path: Path, out: str) -> None:
    (tmp_path / "folder").mkdir()
    mine = tmp_path / ("mine.parquet" if out == "mine.parquet" else "folder/notes.txt")
    mine.write_text("mine")
    assert re.search("not written by esmkit|holds no run of esmkit", message(esmkit, "embed", "in.fasta", "--out", out))
    assert mine.read_text() == "mine"


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only for root")
def test_a_read_only_directory_is_named(esmkit: Esmkit, tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o555)
    assert "Permission denied" in message(esmkit, "embed", "in.fasta", "--out", "locked/x.parquet")


def test_missing_weights_exit_4(esmkit: Esmkit) -> None:
    words = message(esmkit, "embed", "in.fasta", "--model", "esm2-8m", "--out", "x.parquet", code=4)
    assert words == "esm2-8m is not downloaded. Download it with: esmkit models pull esm2-8m"


def test_too_little_memory_exits_3(esmkit: Esmkit, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_memory(*_: object) -> None:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(Runner, "_launch", no_memory)
    words = message(esmkit, "embed", "in.fasta", "--out", "x.parquet", code=3)
    assert "10 residues do not fit into the memory of cpu" in words


def test_a_bug_keeps_its_traceback(esmkit: Esmkit, monkeypatch: pytest.MonkeyPatch) -> None:
    def bug(*_: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("esmkit.cli.run.load_model", bug)
    with pytest.raises(ZeroDivisionError, match="a bug"):
        esmkit("embed", "in.fasta", "--out", "x.parquet")


def test_plot_without_matplotlib_says_what_to_install(esmkit: Esmkit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.backends", None)
    assert "pip install 'esmkit[plot]'" in message(esmkit, "contacts", "in.fasta", "--plot", "maps")
