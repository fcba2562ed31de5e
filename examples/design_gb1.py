"""Two rounds of 96 on the four sites of GB1, with measured fitness as the oracle: learning against random picks.

    python examples/design_gb1.py gb1.csv --out gb1-design.json --plot gb1-design.png

gb1.csv has the columns `sequence` and `target` (FLIP's split low_vs_high of Wu et al. 2016, doi:10.7554/eLife.16965).
Every arm has the same 96 random variants in round 1 and picks 96 others in round 2; what counts is the fitness found.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import esmkit
from esmkit.applications.design import Featurizer, Measured, Policy, next_plate
from esmkit.applications.vectors import VectorCache
from esmkit.config import Settings

WELLS = 96
DOMAIN = 56
"""Residues of GB1; the sequences of FLIP go on with what it was fused to, which is the same in all."""
TOP = 10
RANDOM, SHOWN = "random", "ucb, embeddings and residues"


@dataclass(frozen=True)
class Arm:
    """One way to choose round 2."""

    name: str
    featurize: Featurizer
    policy: Policy | None = None

    def choose(self, measured: Measured, others: Sequence[str], seed: int) -> list[str]:
        """96 of the others; at random where there is no policy."""
        if self.policy is None:
            return [others[at] for at in np.random.default_rng([seed, 2]).permutation(len(others))[:WELLS]]
        policy = Policy(self.policy.acquisition, seed=seed)
        return [each.sequence for each in next_plate(measured, others, self.featurize, policy, wells=WELLS).suggestions]


def main() -> None:
    """Runs all arms, prints a table, and writes the numbers and the curve."""
    arguments = _arguments()
    with arguments.data.open(newline="") as file:
        fitness = {row["sequence"][:DOMAIN]: float(row["target"]) for row in csv.DictReader(file)}
    found = {arm.name: np.array(list(_runs(arm, fitness, arguments.seeds))) for arm in _arms(arguments.model)}
    table = {name: _numbers(values, found[RANDOM]) for name, values in found.items()}
    print(_shown(table))
    if arguments.out is not None:
        about = {"model": arguments.model, "seeds": arguments.seeds, "variants": len(fitness), "wells": WELLS}
        arguments.out.write_text(json.dumps({**about, "best_possible": max(fitness.values()), "arms": table}, indent=1))
    if arguments.plot is not None:
        _plot(found, max(fitness.values()), arguments.plot)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="CSV with sequence and target")
    parser.add_argument("--model", default="esm2-mini")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--out", type=Path, help="JSON with the numbers")
    parser.add_argument("--plot", type=Path, help="picture of the curves")
    return parser.parse_args()


def _arms(model_name: str) -> list[Arm]:
    cache = VectorCache.default(Settings.from_env(os.environ))
    model = esmkit.load(model_name)
    both = Featurizer([model], cache=cache)
    return [
        Arm(RANDOM, both),
        Arm("exploit, embeddings and residues", both, Policy("exploit")),
        Arm(SHOWN, both, Policy("ucb")),
        Arm("thompson, embeddings and residues", both, Policy("thompson")),
        Arm("ucb, embeddings", Featurizer([model], residues=False, cache=cache), Policy("ucb")),
        Arm("ucb, residues", Featurizer(), Policy("ucb")),
    ]


def _runs(arm: Arm, fitness: dict[str, float], seeds: int) -> Iterator[list[float]]:
    """For each seed the fitness of 192 variants in the order in which they were picked."""
    everything = list(fitness)
    for seed in range(seeds):
        order = np.random.default_rng(seed).permutation(len(everything))
        first, others = ([everything[at] for at in part] for part in (order[:WELLS], order[WELLS:]))
        measured = Measured.of((sequence, fitness[sequence]) for sequence in first)
        yield [fitness[sequence] for sequence in [*first, *arm.choose(measured, others, seed)]]


def _top(values_sn: Any) -> Any:
    """[seeds, picks] -> the mean of the best ten so far, after each pick from the tenth on."""
    return np.stack([np.sort(values_sn[:, :n])[:, -TOP:].mean(axis=1) for n in range(TOP, values_sn.shape[1] + 1)], 1)


def _numbers(values_sn: Any, random_sn: Any) -> dict[str, Any]:
    """What an arm found in two rounds: mean over seeds, standard error, and in how many seeds it beat random picks."""
    second = values_sn[:, WELLS:]
    measures = {
        "best": (values_sn.max(axis=1), random_sn.max(axis=1)),
        "top_10_mean": (_top(values_sn)[:, -1], _top(random_sn)[:, -1]),
        "round_2_mean": (second.mean(axis=1), random_sn[:, WELLS:].mean(axis=1)),
    }
    return {
        name: {
            "mean": round(float(own.mean()), 3),
            "standard_error": round(float(own.std(ddof=1) / np.sqrt(len(own))), 3),
            "seeds_better_than_random": int((own > others).sum()),
        }
        for name, (own, others) in measures.items()
    }


def _shown(table: dict[str, Any]) -> str:
    """Lines for people; in brackets the number of seeds that were better than random picks."""
    lines = [f"{'round 2':34} {'best found':>18} {f'mean of best {TOP}':>18} {'mean of round 2':>18}"]
    for name, numbers in table.items():
        cells = (
            f"{each['mean']:.2f} ± {each['standard_error']:.2f}"
            + ("     " if name == RANDOM else f" ({each['seeds_better_than_random']:2})")
            for each in numbers.values()
        )
        lines.append(f"{name:34} {' '.join(f'{cell:>18}' for cell in cells)}")
    return "\n".join(lines)


def _plot(found: dict[str, Any], highest: float, path: Path) -> None:
    """Best so far and mean of the ten best so far: mean over seeds, and the 10th to the 90th percentile as a band."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.5, 3.6), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for axes, title in zip(panels, ("best so far", f"mean of the best {TOP} so far"), strict=True):
        for name, color in ((RANDOM, "#777777"), (SHOWN, "#00796b")):
            values = found[name]
            curves = np.maximum.accumulate(values, axis=1)[:, TOP - 1 :] if axes is panels[0] else _top(values)
            picks = np.arange(TOP, values.shape[1] + 1)
            axes.plot(picks, curves.mean(axis=0), color=color, label=name)
            low, high = np.quantile(curves, [0.1, 0.9], axis=0)
            axes.fill_between(picks, low, high, color=color, alpha=0.2, linewidth=0)
        axes.axvline(WELLS, color="black", linewidth=0.8, linestyle=":")
        axes.axhline(highest, color="black", linewidth=0.8)
        axes.text(TOP, highest - 0.1, "highest of all", va="top", fontsize=8)
        axes.set(xlabel="variants measured", title=title)
    panels[0].set_ylabel("fitness (wild type 1)")
    panels[1].legend(loc="lower right", frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)


if __name__ == "__main__":
    main()
