"""The bars that a release is measured against, and whether a set of results meets them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any, Literal

Results = Mapping[str, dict[str, Any] | None]
MIB = 2**20
MB = 10**6


@dataclass(frozen=True, slots=True)
class Target:
    """One line of the table of targets.

    Attributes:
        what: what is measured.
        value: what came out, None when nobody measured it.
        floor: what a release must reach, None where there is only a goal.
        goal: where we want to be.
        better: whether a larger or a smaller value is better.
        unit: how to write the three.
    """

    what: str
    value: float | None
    floor: float | None
    goal: float
    better: Literal["higher", "lower"]
    unit: str = "{:.2f}x"

    @property
    def verdict(self) -> str:
        """`goal met`, `floor met`, `**not met**`, `below the goal` where there is no floor, or `not measured`."""
        if self.value is None:
            return "not measured"
        sign = 1 if self.better == "higher" else -1
        if sign * self.value >= sign * self.goal:
            return "goal met"
        if self.floor is None:
            return "below the goal"
        return "floor met" if sign * self.value >= sign * self.floor else "**not met**"

    def row(self) -> tuple[str, str, str, str, str]:
        """Cells of a table: what, measured, floor, goal, verdict."""
        measured, floor, goal = (
            "" if number is None else self.unit.format(number) for number in (self.value, self.floor, self.goal)
        )
        return self.what, measured, floor, goal, self.verdict


def targets(results: Results) -> Iterator[Target]:
    """Every target with what the newest results say.

    Args:
        results: by kind, as `results.newest` gives them.
    """
    yield from _cpu(results.get("cpu") or {})
    yield from _memory(results.get("memory") or {})
    yield from _io(results.get("io") or {})
    yield from _http(results.get("http") or {})
    yield from _gpu(results.get("gpu") or {})


def _cpu(result: dict[str, Any]) -> Iterator[Target]:
    models = result.get("models", {})
    for model, floor, goal, share in (("8m", 1.4, 1.65, 0.8), ("150m", 2.0, 2.4, 0.88), ("650m", 2.1, 2.5, 0.9)):
        run = models.get(model, {}).get("runs", {}).get("esmkit_cli", {})
        what = f"CPU {model}, `esmkit embed` with reading and writing"
        fair = f" ({run['ratio_least_padding']:.2f}x against least padding, see below)" if run else ""
        yield Target(f"{what}, against tuned transformers{fair}", run.get("ratio"), floor, goal, "higher")
        share_of_gemm = run.get("share_of_gemm")
        yield Target(f"{what}, share of sgemm", share_of_gemm, None, share, "higher", "{:.0%}")
    start_s = median(result["help_s"]) if "help_s" in result else None
    yield Target("start of `esmkit --help`", start_s, 0.5, 0.2, "lower", "{:.2f} s")


def _memory(result: dict[str, Any]) -> Iterator[Target]:
    contacts = result.get("contacts", {})
    for model in contacts or ("650m",):
        extra = contacts.get(model, {}).get("extra_bytes")
        what = f"contacts of {model} at L = 1024, peak memory over an embedding"
        yield Target(what, None if extra is None else extra / MIB, 40 * MB / MIB, 16 * MB / MIB, "lower", "{:+.1f} MiB")
    ratio = result.get("embed", {}).get("ratio")
    yield Target(
        "peak memory of `embed`, a million sequences against ten thousand", ratio, 1.05, 1.0, "lower", "{:.3f}x"
    )


def _io(result: dict[str, Any]) -> Iterator[Target]:
    runs = result.get("runs", {})
    rate = runs.get("mean.parquet", {}).get("residues_per_s")
    what = "read, tokenize, pack, mean, Parquet on one core without the model"
    yield Target(what, None if rate is None else rate / MB, 5.0, 5.0, "higher", "{:.2f} M residues/s")
    for name, file in (("Parquet", "per-residue.parquet"), ("HDF5", "per-residue.h5")):
        rate = runs.get(file, {}).get("payload_bytes_per_s")
        what = f"per-residue fp16 into {name} on one core"
        yield Target(what, None if rate is None else rate / MB, 50, 50, "higher", "{:.0f} MB/s")


def _http(result: dict[str, Any]) -> Iterator[Target]:
    parts = result.get("parts", {})
    share = parts.get("rate", {}).get("share")
    what = "HTTP 8m, 64 clients with single sequences, mean embeddings, share of the engine's rate"
    yield Target(what, share, 0.85, 0.95, "higher", "{:.1%}")
    added_s = parts.get("latency", {}).get("added_s")
    what = "HTTP 8m, one short sequence, p50 added to the bare engine call"
    yield Target(what, None if added_s is None else 1e3 * added_s, 5.0, 2.0, "lower", "{:.1f} ms")
    for width, content in {each["width"]: each for each in parts.get("answers", {}).values()}.items() or ((320, {}),):
        kinds = content.get("kinds", {})
        best = max((found["ratio"] for kind, found in kinds.items() if kind.endswith("float32")), default=None)
        what = f"HTTP, per-residue answer at width {width}, binary float32 against JSON of the same server"
        yield Target(what, best, 10.0, 20.0, "higher", "{:.1f}x")
    roles = parts.get("memory", {}).get("roles", {})
    growth = max((trend["growth"] for trend in roles.values()), default=None)
    minutes = parts.get("memory", {}).get("minutes", 10)
    what = f"HTTP, memory at the end of {minutes:g} minutes under load against their beginning"
    yield Target(what, growth, 1.05, 1.0, "lower", "{:.3f}x")


def _gpu(result: dict[str, Any]) -> Iterator[Target]:
    rate = _fastest(result, "650m", "tokens_per_s")
    what = "H100 650m, L = 512, 16 bit, mean embedding"
    yield Target(what, None if rate is None else rate / 1e3, 290, 390, "higher", "{:.0f} k tokens/s")
    for model in ("8m", "150m", "3b"):
        share = _fastest(result, model, "share_of_smaller_roof")
        yield Target(f"H100 {model}, L = 512, share of the smaller roof", share, 0.35, 0.6, "higher", "{:.0%}")


def _fastest(result: dict[str, Any], model: str, field: str) -> float | None:
    """The better 16-bit format at L = 512, the engine with its intake."""
    dtypes = result.get("models", {}).get(model, {}).get("dtypes", {})
    runs = [dtype["workloads"]["512"]["runs"]["esmkit"] for dtype in dtypes.values() if "512" in dtype["workloads"]]
    return max((float(run[field]) for run in runs), default=None)
