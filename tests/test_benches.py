"""The parts of the benchmarks that compute without measuring: formulas, batches of peers, and the page of results."""

from __future__ import annotations

import doctest
import importlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))  # benches is no part of the wheel

from benches import flops, load, machine, numerics, policies, proteins, report, results, timing  # noqa: E402
from benches.targets import targets  # noqa: E402

CPU_RUN = {
    "what": "how it ran",
    "padding": 1.06,
    "seconds": [5.0, 5.2],
    "residues_per_s": 5000.0,
    "flop_per_s": 1.2e11,
    "share_of_gemm": 0.75,
    "ratio": 1.5,
    "ratio_least_padding": 1.4,
}
LATENCY = {"tokens": 128, "graphs": True, "seconds": {"graphs": [1e-3, 2e-3, 9e-3], "eager": [5e-3, 6e-3, 7e-3]}}
GPU_RUN = {"tokens_per_s": 4e5, "share_of_smaller_roof": 0.56, "ratio": 2.5}
ORIGIN = {
    "date": "2026-01-02T03:04:05Z",
    "commit": "0123456789abcdef",
    "machine": {"processor": "Some CPU", "cores": 2},
    "versions": {"esmkit": "0.1.0"},
    "arguments": {"threads": 2},
}
CPU = {
    **ORIGIN,
    "help_s": [0.1, 0.3, 0.2],
    "models": {
        "8m": {
            "weights": "random",
            "sequences": {"count": 96, "residues": 26_000},
            "gemm_flop_per_s": 1.6e11,
            "checks": [{"peer": "esmkit", "against": "fair_esm", "max_abs": 2e-6}],
            "skipped": {"other": "no wheel"},
            "runs": {"esmkit_cli": CPU_RUN, "esm_cpp": {**CPU_RUN, "seconds": [60.0]}},
        }
    },
}
MEMORY = {
    **ORIGIN,
    "contacts": {
        "8m": {"length": 1024, "embedding_bytes": 400 * 2**20, "contacts_bytes": 450 * 2**20, "extra_bytes": 50 * 2**20}
    },
    "load": {"model": "650m", "file_bytes": 1, "imports_bytes": 2, "load_bytes": 3, "over_bytes": 0},
    "embed": {"ratio": 1.01, "runs": {"10000": {"peak_bytes": 2**20, "seconds": 5.0}}},
}
GPU = {
    **ORIGIN,
    "machine": {**ORIGIN["machine"], "gpu": {"name": "NVIDIA H100 80GB HBM3"}},
    "models": {
        "650m": {
            "weights": "random",
            "roofs": {"measured": {"arithmetic_tokens_per_s": 7e5, "memory_tokens_per_s": 1.8e6}},
            "dtypes": {"float16": {"latency": LATENCY, "workloads": {"512": {"runs": {"esmkit": GPU_RUN}}}}},
            "numerics": {
                "sequences": 24,
                "float16": dict.fromkeys(
                    ("max_abs", "mean_abs", "rank_correlation_mean", "rank_correlation_lowest"), 0.5
                ),
            },
        }
    },
}

TREND = {"first_bytes": 4e8, "last_bytes": 4.4e8, "growth": 1.1, "slope_bytes_per_min": 2**20, "peak_bytes": 4.5e8}
KIND = {"bytes": 2e6, "received_s": 0.003, "read_s": 0.004, "computed_s": 0.2, "ratio": 21.0}
HTTP = {
    **ORIGIN,
    "parts": {
        "rate": {
            "weights": "random",
            "sequences": {"count": 100, "residues": 27_000},
            "clients": 64,
            "checks": [],
            "engine_residues_per_s": 12_000,
            "residues_per_s": 11_000,
            "share": 0.917,
            "share_with_clients_elsewhere": 0.92,
            "processor_s": {"clients": 0.01, "server": 0.1},
            "latency_s": {"p50": 1.5},
            "cached": {"requests_per_s": 1300.0},
        },
        "answers": {"8m": {"width": 320, "items": 8, "residues": 2117, "kinds": {"arrow, float32": KIND}}},
        "memory": {
            "minutes": 10, "clients": 64, "requests": 9, "per_residue_every": 8, "roles": {"runner": TREND}
        },
    },
}  # fmt: skip


@pytest.mark.parametrize("module", [flops, load, machine, numerics, policies, timing])
def test_examples_in_docstrings_hold(module: Any) -> None:
    outcome = doctest.testmod(importlib.import_module(module.__name__))
    assert outcome.attempted > 0
    assert outcome.failed == 0


@pytest.mark.parametrize(
    ("num_layers", "width", "gflop"), [(6, 320, 0.0187), (30, 640, 0.334), (36, 2560, 5.85), (48, 5120, 30.7)]
)
def test_work_per_token_at_512_is_that_of_the_published_table(num_layers: int, width: int, gflop: float) -> None:
    assert flops.flop_per_token(num_layers, width, 512) / 1e9 == pytest.approx(gflop, rel=5e-3)


def test_work_of_rows_counts_attention_by_the_length_of_each() -> None:
    assert flops.flop_of(2, 8, [3, 5]) == 3 * flops.flop_per_token(2, 8, 3) + 5 * flops.flop_per_token(2, 8, 5)


def test_sorted_batches_hold_every_sequence_once_within_the_budget() -> None:
    lengths = [len(record.sequence) + 2 for record in proteins.proteins()]
    batches = policies.sorted_by_length(lengths)
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    assert max(len(batch) * max(lengths[index] for index in batch) for batch in batches) <= policies.TUNED_TOKENS


def test_few_sequences_get_a_budget_that_pads_like_a_large_file() -> None:
    everything = [len(record.sequence) + 2 for record in proteins.proteins()]
    few = [len(record.sequence) + 2 for record in proteins.representative(proteins.proteins(), 16)]
    budget = policies.budget_without_artefact(few, everything)
    assert budget < policies.TUNED_TOKENS
    assert policies.padding(few, policies.sorted_by_length(few, budget)) < 1.12
    assert policies.padding(few, policies.sorted_by_length(few)) > 1.3


def test_benchmark_proteins_are_what_their_sources_file_says() -> None:
    lengths = [len(record.sequence) for record in proteins.proteins()]
    assert (len(lengths), sum(lengths), min(lengths), max(lengths)) == (307, 82_896, 30, 1021)


def test_representative_sequences_have_the_mean_length_of_all() -> None:
    chosen = proteins.representative(proteins.proteins(), 96)
    assert len({record.id for record in chosen}) == 96
    assert np.mean([len(record.sequence) for record in chosen]) == pytest.approx(270, rel=0.03)


def test_many_sequences_are_different_and_as_many_as_asked() -> None:
    found = list(proteins.many(proteins.proteins(), 500_000))
    assert sum(len(record.sequence) for record in found) >= 500_000
    assert len({record.sequence for record in found}) == len(found) > 1_800


def test_unequal_answers_stop_the_benchmark() -> None:
    expected = np.full((2, 3), 10.0)
    assert timing.assert_equal("a", expected + 9e-4, expected, against="b")["values"] == 6
    with pytest.raises(SystemExit, match="a differs from b"):
        timing.assert_equal("a", expected + 2e-3, expected, against="b")
    with pytest.raises(SystemExit, match="a differs from b"):
        timing.assert_equal("a", expected * np.nan, expected, against="b")


def test_peers_take_turns_in_every_round() -> None:
    order: list[str] = []

    def peer(name: str) -> timing.Peer:
        return timing.Peer(name, "", timing.timed(name, lambda: order.append(name) or np.zeros(1)))

    seconds = timing.alternate([peer("a"), peer("b")], 2, before_round=lambda: order.append("|"))
    assert "".join(order) == "|ab|ab"
    assert {name: len(values) for name, values in seconds.items()} == {"a": 2, "b": 2}


def test_a_hopeless_peer_is_compared_by_the_one_run_it_had() -> None:
    assert timing.worth_repeating(4.0, 1.0)
    assert not timing.worth_repeating(4.1, 1.0)
    assert timing.ratio([10.0], [1.0, 2.0, 3.0]) == 0.2


def test_mutation_scores_leave_out_wild_types_and_odd_residues() -> None:
    scores = numerics.mutation_scores(np.arange(60, dtype=np.float32).reshape(3, 20), "LXA")
    assert scores.shape == (38,)
    assert scores[0] == 1.0  # L is column 0, so the first mutant is column 1
    assert scores[19] == -1.0  # A is column 1


def test_verdicts_compare_with_floor_and_goal() -> None:
    verdicts = {
        target.what.partition(" (")[0]: target.verdict for target in targets({"cpu": CPU, "memory": MEMORY, "gpu": GPU})
    }
    assert verdicts["CPU 8m, `esmkit embed` with reading and writing, against tuned transformers"] == "floor met"
    assert verdicts["CPU 150m, `esmkit embed` with reading and writing, against tuned transformers"] == "not measured"
    assert verdicts["CPU 8m, `esmkit embed` with reading and writing, share of sgemm"] == "below the goal"
    assert verdicts["contacts of 8m at L = 1024, peak memory over an embedding"] == "**not met**"
    assert verdicts["start of `esmkit --help`"] == "goal met"
    assert verdicts["H100 650m, L = 512, 16 bit, mean embedding"] == "goal met"


def test_page_shows_measured_numbers_and_notes() -> None:
    page = report.render({"cpu": CPU, "memory": MEMORY, "io": None, "gpu": GPU}, "## Notes\n\ntried this")
    assert "| `esmkit_cli` | 5,000 | 120.0 | 75% | 1.50x | 1.40x | 1.06 |" in page
    assert "| `esm_cpp` (one run) |" in page
    assert "- `other` is not in the table: no wheel" in page
    assert "| float16 | 512 | `esmkit` | 400,000 | 56% | 2.50x |" in page
    assert "| float16 | 128 | 6.00 ms | 2.00 ms | 3.00x |" in page
    assert "Not measured yet: `scripts/bench io`." in page
    assert page.endswith("## Notes\n\ntried this\n")


def test_page_shows_the_parts_of_the_server_benchmark_that_were_measured() -> None:
    page = report.render({"http": HTTP}, "")
    assert "| processor time of the server per request | 1.00 ms |" in page
    assert "| 320, 8 sequences of 2,117 residues | arrow, float32 | 2.0 | 3.0 ms | 4.0 ms | 21.0x | 200 ms |" in page
    assert "| runner | 381.5 | 419.6 | 429.2 | +1.000 |" in page
    assert "### One short sequence" not in page
    verdicts = {target.what: target.verdict for target in targets({"http": HTTP}) if target.what.startswith("HTTP")}
    assert list(verdicts.values()) == ["floor met", "not measured", "goal met", "**not met**"]


def test_page_without_a_gpu_says_so_and_how_to_measure_one() -> None:
    page = report.render({"cpu": CPU}, "")
    assert "No GPU was at hand" in page
    assert "    scripts/bench gpu" in page


def test_newest_result_of_a_kind_wins(tmp_path: Path) -> None:
    for name, date in (("2026-01-01-io-a", "2026-01-01"), ("2026-01-02-io-b", "2026-01-02"), ("2026-01-03-gpu-a", "")):
        (tmp_path / f"{name}.json").write_text(json.dumps({"date": date}))
    assert results.newest("io", tmp_path) == {"date": "2026-01-02"}
    assert results.newest("cpu", tmp_path) is None


@pytest.mark.parametrize("key", ["models", "parts"])
def test_what_was_measured_one_by_one_come_together_unless_commit_or_machine_differ(key: str, tmp_path: Path) -> None:
    for number, (model, commit, processor) in enumerate(
        [("8m", "new", "x"), ("35m", "old", "x"), ("150m", "new", "y"), ("8m", "new", "x"), ("650m", "new", "x")]
    ):
        result = {"date": str(number), "commit": commit, "machine": {"processor": processor}, key: {model: number}}
        (tmp_path / f"{number}-cpu-x.json").write_text(json.dumps(result))
    newest = results.newest("cpu", tmp_path)
    assert newest is not None
    assert newest[key] == {"8m": 3, "650m": 4}
