"""`scripts/bench cpu`: esmkit and its peers on this machine's processor, in fp32."""

from __future__ import annotations

import gc
import tempfile
from argparse import Namespace
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

import torch

import esmkit
from benches import peers, policies, profiling, roofs, weights
from benches.command import esmkit_command, help_seconds
from benches.esm_cpp_peer import EsmCpp, Unavailable
from benches.flops import flop_of
from benches.peers import BASELINE, LEAST_PADDING, token_lengths
from benches.proteins import proteins, representative
from benches.results import say
from benches.timing import Peer, Rate, Seconds, alternate, assert_equal, ratio, worth_repeating
from esmkit.types import Record

MODELS = ("8m", "150m", "650m")
SEQUENCES = {"8m": 96, "35m": 32, "150m": 16, "650m": 6}
"""As many as take a patient minute for the slowest peer on two cores."""
QUICK_SEQUENCES = {"8m": 12, "35m": 4, "150m": 3, "650m": 2}
PROFILE_SEQUENCES = 7


def measure(arguments: Namespace) -> dict[str, Any]:
    """Every model in turn; what is written to the result file."""
    torch.set_num_threads(arguments.threads)
    models = {}
    for model in arguments.models or MODELS:
        models[model] = _measure_model(model, arguments)
        gc.collect()  # the next model needs the memory of this one
    return {"dtype": "float32", "models": models, "help_s": help_seconds(arguments.rounds)}


def _measure_model(model: str, arguments: Namespace) -> dict[str, Any]:
    count = arguments.sequences or (QUICK_SEQUENCES if arguments.quick else SEQUENCES)[model]
    records = representative(proteins(), count)
    say(f"{model}: {len(records)} sequences, {sum(token_lengths(records)):,} tokens")
    folder = weights.folder_of(model, arguments.weights)
    library = esmkit.load(folder, device="cpu")
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="esmkit-bench-")))
        measured = _in_process(library, folder, records)
        measured.insert(1, esmkit_command(folder, records, scratch=scratch, threads=arguments.threads))
        skipped: dict[str, str] = {}
        first: Seconds = {}
        checks = _check(measured, first)
        try:
            peer = stack.enter_context(EsmCpp(folder, records, scratch=scratch, threads=arguments.threads)).peer()
            answers, seconds = peer.run()
            checks.append(assert_equal(peer.name, answers, peers.logits(library, records), against="esmkit, logits"))
            measured.append(peer)
            first |= seconds
        except Unavailable as reason:
            skipped["esm_cpp"] = str(reason)
            say(f"{model}: without esm-cpp: {reason}")
        repeated = [peer for peer in measured if worth_repeating(first[peer.name], first[BASELINE])]
        say(f"{model}: all answers are equal; timing {', '.join(peer.name for peer in repeated)}")
        gemm = Rate(lambda: roofs.gemm_flop_per_s(library.width))
        timed = {peer.name: [first[peer.name]] for peer in measured}  # stays so for those that are not repeated
        timed |= alternate(repeated, arguments.rounds, before_round=gemm.sample)
    content: dict[str, Any] = {
        "weights": "random" if weights.are_random(folder) else str(folder),
        "shape": asdict(library.shape),
        "sequences": _about(records),
        "gemm_flop_per_s": gemm.median,
        "gemm_samples": gemm.values,
        "checks": checks,
        "skipped": skipped,
        "runs": _runs(measured, timed, records, library, gemm.median),
    }
    if arguments.profile:
        content["profile"] = _profile(library)
        print(f"\n{model}, {PROFILE_SEQUENCES} sequences in one step\n\n{profiling.as_markdown(content['profile'])}")
    return content


def _in_process(library: esmkit.Model, folder: Path, records: Sequence[Record]) -> list[Peer]:
    """esmkit first, the baseline right after it, so that the two that matter most are neighbours."""
    lengths, whole = token_lengths(records), token_lengths(proteins())
    hugging_face = peers.Transformers(folder)
    tuned, least = policies.TUNED_TOKENS, policies.budget_without_artefact(lengths, whole)
    kinds = {
        BASELINE: (f"sdpa, sorted, at most {tuned:,} padded tokens per batch", policies.sorted_by_length(lengths)),
        LEAST_PADDING: (
            f"the same with the budget that pads these few sequences as little as {tuned:,} tokens pad a large file",
            policies.sorted_by_length(lengths, least),
        ),
        "transformers_default": ("sdpa, batches of 8 in file order", policies.in_file_order(lengths)),
    }
    padding = [hugging_face.peer(name, what, records, batches) for name, (what, batches) in kinds.items()]
    return [peers.esmkit_library(library, records), *padding, peers.fair_esm(library, records)]


def _check(measured: Sequence[Peer], first: Seconds) -> list[dict[str, Any]]:
    """Runs everybody once, which also warms them up, and compares with fair-esm, the authors' own code.

    Args:
        measured: whom to run.
        first: gets the seconds of this run.
    """
    answers = {}
    for peer in measured:
        answers[peer.name], seconds = peer.run()
        first |= seconds
    reference = answers.pop("fair_esm")
    return [assert_equal(name, found, reference, against="fair_esm") for name, found in answers.items()]


def _about(records: Sequence[Record]) -> dict[str, Any]:
    lengths = sorted(len(record.sequence) for record in records)
    return {"count": len(lengths), "residues": sum(lengths), "lengths": lengths}


def _runs(
    measured: Sequence[Peer],
    seconds: dict[str, list[float]],
    records: Sequence[Record],
    library: esmkit.Model,
    gemm_flop_per_s: float,
) -> dict[str, Any]:
    about = {peer.name: peer for peer in measured}
    flop = flop_of(library.shape.num_layers, library.shape.width, token_lengths(records))
    residues = sum(len(record.sequence) for record in records)
    runs = {}
    for name, values in seconds.items():
        peer = about.get(name)
        runs[name] = {
            "what": peer.what if peer else "the same with start of the process and loading",
            "padding": round(peer.padding if peer else 1.0, 3),
            "seconds": [round(value, 4) for value in values],
            "median_s": median(values),
            "residues_per_s": residues / median(values),
            "flop_per_s": flop / median(values),
            "share_of_gemm": flop / median(values) / gemm_flop_per_s,
            "ratio": ratio(values, seconds[BASELINE]),
            "ratio_least_padding": ratio(values, seconds[LEAST_PADDING]),
        }
        say(
            f"  {name:28} {runs[name]['residues_per_s']:9,.0f} residues/s  {runs[name]['share_of_gemm']:5.1%} of sgemm"
            f"  {runs[name]['ratio']:5.2f} x {BASELINE}"
        )
    return runs


def _profile(library: esmkit.Model) -> list[dict[str, Any]]:
    """One batch through the engine's own runner, pooling and copies included."""
    return profiling.profile_step(peers.esmkit_step(library, representative(proteins(), PROFILE_SEQUENCES)))
