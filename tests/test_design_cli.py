"""`esmkit design`: what the commands write, print and refuse."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch

import esmkit as library
from esmkit.applications import mutations
from esmkit.applications.design import Likelihood
from esmkit.applications.predictors import Base, Card, Task
from esmkit.applications.predictors.network import Head, Network
from esmkit.cli import design_propose
from tests.cli_calls import EXAMPLES, ROOT, Esmkit, in_process
from tests.labelled import save_model

ROUND = ROOT / "examples" / "gb1_round1.csv"
GB1 = "MQYKLILNGKTLKGETTTEAVDAATAEKVFKQYANDNGVDGEWTYDDATKTFTVTE"
SITES = ("--positions", "39-41,54")
NEXT = ("design", "next", ROUND, "--wild-type", GB1, "--label-column", "fitness", "--features", "residues")


@pytest.fixture
def esmkit(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Esmkit:
    return in_process(monkeypatch, capsys)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def write(path: Path, *rows: str) -> Path:
    path.write_text("".join(f"{row}\n" for row in rows))
    return path


def predictor(folder: Path, base: Path, *, classes: tuple[str, ...] = ()) -> Path:
    """A predictor with random weights."""
    model = library.load(base)
    task = Task("classification" if classes else "regression", "sequence", "label", classes)
    torch.manual_seed(0)
    folder.mkdir()
    Network(Head(model.width, 0, task.num_outputs), task).write(folder)
    about = Base("tiny", str(base), model.provenance["weights_sha256"])
    Card(
        "network", task, about, (model.shape.num_layers,), "mean", {"hidden": 0, "adapter": {"alpha": 1, "rank": 1}}
    ).write(folder)
    return folder


def test_proposals_are_a_ranked_table_with_reasons(esmkit: Esmkit, tmp_path: Path) -> None:
    call = ("design", "propose", "--sequence", GB1, "--mutations", "2", "--offset", "100", "--positions", "139-141,154")
    for name in ("found.csv", "found.parquet"):
        done = esmkit(*call, "--out", tmp_path / name)
        assert (done.code, done.out) == (0, "")
    assert "10 variants in" in done.err
    rows = rows_of(tmp_path / "found.csv")
    expected = ["rank", "mutant", "mutated_sequence", "mutations", "objective", "masked_marginal", "nearest", "reason"]
    assert (
        list(rows[0])
        == ["index", "id", "length", "long", *expected]
        == pq.read_table(tmp_path / "found.parquet").column_names
    )
    assert [int(row["rank"]) for row in rows] == list(range(1, 11))
    scores = mutations.score(library.load(), GB1, [row["mutant"] for row in rows], offset=100)
    for row, score in zip(rows, scores.scores, strict=True):
        assert float(row["objective"]) == float(row["masked_marginal"]) == pytest.approx(score, abs=1e-5)
        effects = re.findall(r"([A-Z]\d+[A-Z]) ([+-][\d.]+)", row["reason"])
        assert ":".join(name for name, _ in effects) == row["mutant"]
        assert sum(float(effect) for _, effect in effects) == pytest.approx(score, abs=2e-3)
    manifest = json.loads((tmp_path / "found.csv.manifest.json").read_text())
    assert manifest["provenance"]["slug"] == "esm2-mini"


def test_a_finished_table_is_not_computed_again(
    esmkit: Esmkit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = ("design", "propose", "--sequence", GB1, *SITES, "--out", tmp_path / "found.csv")
    assert esmkit(*call).code == 0
    first = (tmp_path / "found.csv").read_bytes()
    assert esmkit(*call, "--overwrite").code == 0
    assert (tmp_path / "found.csv").read_bytes() == first
    monkeypatch.setattr(design_propose, "propose", lambda *_, **__: pytest.fail("computed again"))
    assert esmkit(*call).code == 0
    other = esmkit(*call, "--proposals", "3")
    assert other.code == 2
    assert "proposals" in other.err


def test_a_killed_search_goes_on_with_the_scores_it_had(
    esmkit: Esmkit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = ("design", "propose", "--sequence", GB1, *SITES, "--strategy", "anneal", "--steps", "20")
    call = (*call, "--method", "one_pass_pll", "--chains", "3")
    assert esmkit(*call, "--out", tmp_path / "whole.csv").code == 0
    asked: list[str] = []
    scores = Likelihood.scores

    def killed(self: Likelihood, parent: str, sequences: Sequence[str]) -> Iterator[float]:
        for sequence, score in zip(sequences, scores(self, parent, sequences), strict=True):
            asked.append(sequence)
            if len(asked) == 25:
                raise KeyboardInterrupt
            yield score

    monkeypatch.setattr(Likelihood, "scores", killed)
    assert esmkit(*call, "--out", tmp_path / "found.csv").code == 130
    first = set(asked[:24])
    assert not (tmp_path / "found.csv").exists()
    with (tmp_path / ".found.csv.scores").open("a") as journal:
        journal.write('["one_pass_pll", "torn')
    assert esmkit(*call, "--out", tmp_path / "found.csv").code == 0
    assert len(asked) > 40
    assert not first & set(asked[25:])
    assert (tmp_path / "found.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert sorted(path.name for path in tmp_path.glob(".*")) == []


def test_proposals_on_the_screen_and_as_json(esmkit: Esmkit) -> None:
    call = ("design", "propose", EXAMPLES, "--id", "1PGA_A", *SITES, "--proposals", "3", "--mutations", "1-2")
    shown = esmkit(*call)
    assert shown.code == 0
    assert [line.split()[0] for line in shown.out.splitlines()] == ["rank", "1", "2", "3"]
    lines = [json.loads(line) for line in esmkit(*call, "--json", "-q").out.splitlines()]
    assert [line["rank"] for line in lines] == [1, 2, 3]
    assert lines[0]["id"] in shown.out


def test_regions_fixed_positions_and_residues_keep_proposals_inside(esmkit: Esmkit, tmp_path: Path) -> None:
    regions = write(tmp_path / "regions.csv", "start,end,region", "1,10,FR1", "11,20,CDR1", "30,33,CDR2", "50,52,CDR1")
    own = write(tmp_path / "own.csv", "position,residues", "12,FW", "51,C")
    call = ("design", "propose", "--sequence", GB1, "--regions", regions, "--only-regions", "CDR1", "--fixed", "13-15")
    for strategy in ("beam", "anneal"):
        out = tmp_path / f"{strategy}.csv"
        settings = ("--strategy", strategy, "--steps", "60", "--mutations", "1-4", "--min-distance", "2", "--out", out)
        done = esmkit(*call, "--allowed", "ACDEF", "--allowed-at", own, *settings)
        assert done.code == 0, done.err
        for row in rows_of(out):
            for _, position, residue in re.findall(r"([A-Z])(\d+)([A-Z])", row["mutant"]):
                assert int(position) in {11, 12, 16, 17, 18, 19, 20, 50, 51, 52}
                assert residue in {12: "FW", 51: "C"}.get(int(position), "ACDEF")
            assert 1 <= int(row["mutations"]) <= 4
            assert row["rank"] == "1" or int(row["nearest"]) >= 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--mutations", "two"), "--mutations 'two' is no number and no range"),
        (("--allowed-at", "39=A"), "--allowed-at '39=A' is no file"),
        (("--allowed-at", "39:AJ"), "'J' among the allowed residues"),
        (("--positions", "39-x"), "is no list of positions"),
        (("--positions", "57"), "position 57 does not exist: they run from 1 to 56"),
        (("--positions", "5-9", "--regions", "regions.csv"), "no position is left that may change"),
        (("--only-regions", "CDR1"), "--only-regions needs the table of --regions"),
        (("--predictor-weight", "2"), "need a --predictor"),
        (("--model-weight", "0"), "at least one of them other than 0"),
        (("--strategy", "anneal", "--temperature", "0"), "a temperature is a number above 0"),
        (("--out", "found.hdf5"), "choose .csv, .parquet, .jsonl"),
        (("--predictor", "nowhere"), "nowhere is no predictor"),
    ],
)
def test_proposals_that_make_no_sense_are_refused(
    esmkit: Esmkit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "regions.csv", "start,end,region", "1,3,CDR1")
    done = esmkit("design", "propose", "--sequence", GB1, *arguments)
    assert done.code in (2, 4)
    assert said in " ".join(done.err.split())


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("9,2,CDR1", "regions.csv, line 2: region 'CDR1' ends at 2, before it starts at 9"),
        ("a,2,CDR1", "line 2: column 'start' holds 'a', which is no whole number"),
        ("1,2,CDR2", "has no region 'CDR1'; it has CDR2"),
    ],
)
def test_bad_regions_are_refused_by_row(esmkit: Esmkit, tmp_path: Path, row: str, said: str) -> None:
    regions = write(tmp_path / "regions.csv", "start,end,region", row)
    done = esmkit("design", "propose", "--sequence", GB1, "--regions", regions, "--only-regions", "CDR1")
    assert done.code == 2
    assert said in " ".join(done.err.split())


def test_a_predictor_is_the_objective_or_a_part_of_it(esmkit: Esmkit, tmp_path: Path) -> None:
    base = save_model(tmp_path / "base")
    folder = predictor(tmp_path / "predictor", base)
    call = ("design", "propose", "--sequence", GB1, *SITES, "--predictor", folder, "--mutations", "1-2")
    assert esmkit(*call, "--out", tmp_path / "high.csv").code == 0
    assert esmkit(*call, "--predictor-weight", "-2", "--model-weight", "0.5", "--out", tmp_path / "low.csv").code == 0
    own = float(library.load_predictor(folder).predict(GB1))
    high, low = rows_of(tmp_path / "high.csv"), rows_of(tmp_path / "low.csv")
    predicted = library.load_predictor(folder).predict([row["mutated_sequence"] for row in high])
    for row, prediction in zip(high, predicted, strict=True):
        assert float(row["prediction"]) == pytest.approx(prediction, abs=1e-5)
        assert float(row["objective"]) == pytest.approx(prediction - own, abs=1e-5)
    for row in low:
        expected = 0.5 * float(row["masked_marginal"]) - 2 * (float(row["prediction"]) - own)
        assert float(row["objective"]) == pytest.approx(expected, abs=1e-4)
    manifest = json.loads((tmp_path / "low.csv.manifest.json").read_text())
    assert manifest["arguments"]["weights"] == {"masked_marginal": 0.5, "prediction": -2.0}
    assert set(manifest["provenance"]) == {"scoring", "predictor"}


def test_a_predictor_of_classes_needs_a_class(esmkit: Esmkit, tmp_path: Path) -> None:
    folder = predictor(tmp_path / "predictor", save_model(tmp_path / "base"), classes=("cytoplasm", "membrane"))
    call = ("design", "propose", "--sequence", GB1, *SITES, "--predictor", folder)
    refused = esmkit(*call)
    assert refused.code == 2
    assert "choose one of its classes cytoplasm, membrane" in refused.err
    out = tmp_path / "found.jsonl"
    assert esmkit(*call, "--predictor-class", "membrane", "--out", out).code == 0
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert all(0 < row["probability_membrane"] < 1 for row in rows)


def test_the_next_plate_of_gb1_holds_nothing_that_was_measured(esmkit: Esmkit, tmp_path: Path) -> None:
    out = tmp_path / "plate2.csv"
    done = esmkit(*NEXT, *SITES, "--max-candidates", "3000", "--out", out)
    assert done.code == 0, done.err
    assert "3,000 of 159,999 combinations, drawn at random" in done.err
    assert "learnt from 96 variants, rank correlation with those held out 0." in done.err
    rows = rows_of(out)
    assert len(rows) == 96
    assert not {row["mutant"] for row in rows} & {row["mutant"] for row in rows_of(ROUND)}
    for row in rows:
        assert mutations.parse(row["mutant"], GB1) == row["mutated_sequence"]
        assert {at for at in range(56) if row["mutated_sequence"][at] != GB1[at]} <= {38, 39, 40, 53}
        score = float(row["predicted_mean"]) + float(row["predicted_sd"])
        assert float(row["acquisition"]) == pytest.approx(score, abs=1e-5)
    scores = [float(row["acquisition"]) for row in rows]
    assert scores == sorted(scores, reverse=True)


def test_a_plate_that_was_measured_is_the_next_round(esmkit: Esmkit, tmp_path: Path) -> None:
    plates = []
    for number, seed in ((2, 0), (3, 0), (3, 0)):
        out = tmp_path / f"plate{len(plates)}.csv"
        measured = [tmp_path / "measured2.csv"] if number == 3 else []
        arguments = (
            *NEXT[:3],
            *measured,
            *NEXT[3:],
            *SITES,
            "--max-candidates",
            "500",
            "--plate",
            "12",
            "--seed",
            seed,
        )
        done = esmkit(*arguments, "--out", out)
        assert done.code == 0, done.err
        plates.append(rows_of(out))
        if number == 2:
            names = [f"{row['mutant']},{row['predicted_mean']}" for row in plates[0]]
            write(tmp_path / "measured2.csv", "mutant,fitness", *names)
    second, third, again = plates
    assert third == again
    assert not {row["mutant"] for row in second} & {row["mutant"] for row in third}


def test_candidates_come_from_a_table_or_from_the_best(esmkit: Esmkit, tmp_path: Path) -> None:
    offered = write(tmp_path / "offered.csv", "mutant", "V39A", "V39A:D40E", "G41F", "V54L:G41C", "V39C:D40C:G41C:V54C")
    few = (*NEXT, "--plate", "3")
    done = esmkit(*few, "--candidates", offered, "--json", "-q")
    assert {json.loads(line)["mutant"] for line in done.out.splitlines()} <= {
        row["mutant"] for row in rows_of(offered)
    } | {"G41C:V54L"}
    refused = esmkit(*few, "--candidates", offered, *SITES)
    assert refused.code == 2
    assert "leave out the options about what may change" in " ".join(refused.err.split())
    done = esmkit(*few, "--generate", "offspring", *SITES, "--mutations", "1-4", "--out", tmp_path / "young.csv")
    assert done.code == 0, done.err
    assert "offspring of the best 10 variants" in done.err
    short = esmkit(*few, "--candidates", offered, "--min-distance", "4", "--plate", "5", "--json")
    assert "of 5 wells: no other candidate differs from them at 4 positions" in " ".join(short.err.split())


def test_embeddings_of_a_model_are_learnt_from(esmkit: Esmkit, tmp_path: Path) -> None:
    base = save_model(tmp_path / "base")
    call = (*NEXT[:-2], *SITES, "--model", base, "--max-candidates", "150", "--plate", "8", "--json", "-q")
    plates = {features: esmkit(*call, "--features", features).out for features in ("both", "embeddings", "residues")}
    assert all(len(plate.splitlines()) == 8 for plate in plates.values())
    assert len(set(plates.values())) == 3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "combinations need --positions"),
        (("--positions", "1-99"), "position 57 does not exist"),
        ((*SITES, "--label-column", "activity"), "no column 'activity' to learn from"),
        ((*SITES, "--offset", "3"), "line 3) says V at position 39, where the wild type has D"),
        ((*SITES, "--variant-column", "name"), "has no column 'name'"),
        ((*SITES, "--only-regions", "a"), "needs the table of --regions"),
    ],
)
def test_rounds_that_make_no_sense_are_refused(esmkit: Esmkit, arguments: tuple[str, ...], said: str) -> None:
    done = esmkit(*NEXT, *arguments)
    assert done.code == 2
    assert said in " ".join(done.err.split())


def test_a_next_plate_needs_a_label_and_a_wild_type(esmkit: Esmkit) -> None:
    assert "--label-column" in esmkit("design", "next", ROUND, "-w", GB1, *SITES).err
    assert "--wild-type" in esmkit("design", "next", ROUND, "--label-column", "fitness", *SITES).err


@pytest.mark.parametrize(
    "command", [("design", "propose"), ("design", "next", ROUND, "--label-column", "fitness", "-w")]
)
def test_a_residue_that_no_wild_type_has_is_named_with_record_file_and_line(
    esmkit: Esmkit, tmp_path: Path, command: tuple[object, ...]
) -> None:
    parents = write(tmp_path / "parents.fasta", ">first", GB1, ">second", GB1[:30], f"{GB1[30:40]}B{GB1[41:]}")
    refused = esmkit(*command, parents, "--id", "second", "--offset", "100")
    assert refused.code == 2
    assert f"record 'second' ({parents}, line 5), position 141: found 'B'" in " ".join(refused.err.split())
