"""`esmkit interactions contacts`: interfaces to the screen or a file, maps, pictures."""

from __future__ import annotations

import dataclasses
import json as json_module
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from esmkit.applications import interactions
from esmkit.applications.interactions.contacts import InterfaceResidue, PairContacts, check_threshold
from esmkit.cli.contact_plot import ContactPlots
from esmkit.cli.pair_options import PairOptions
from esmkit.cli.pair_run import PairJob, pairs_of, run_options
from esmkit.cli.run import Meter, carry_out, load_model
from esmkit.errors import InvalidConfigError
from esmkit.outputs import build
from esmkit.types import Column, Failure, Record, Result


def execute(options: PairOptions, *, linker: int, threshold: float, maps: bool, plot: Path | None) -> int:
    """Runs the command and returns its exit code."""
    check_threshold(threshold)
    if maps and options.out is None:
        raise InvalidConfigError("--maps puts whole maps into a file: name it with --out", setting="maps")
    plots = None if plot is None else ContactPlots(plot)
    pairs = pairs_of(options)
    model = load_model(options)
    asked = {"linker_length": linker, "threshold": threshold, "maps": maps, "plot": plot and str(plot)}
    job = ContactJob(
        run_options(options), model, build(["contacts"], model.shape), asked, plots, pairs, linker, threshold, maps
    )
    code = carry_out(job, Interfaces() if plots is None else None)
    if plots is not None:
        plots.finish()
    return code


@dataclass(frozen=True, slots=True)
class ContactJob(PairJob):
    """The command line, ready to run."""

    linker: int
    threshold: float
    maps: bool

    def columns(self) -> list[Column]:
        """Which pair, numbers and interfaces, and maps if they were asked for."""
        numbers = [Column(name, "int", ()) for name in ("length_a", "length_b")]
        numbers.append(Column("highest_probability", "float", ()))
        interfaces = [Column(name, "str", ()) for name in ("interface_a", "interface_b")]
        blocks = [Column(f"contacts_{name}", "float", ("L", "L")) for name in ("aa", "bb", "ab") if self.maps]
        return self.with_about([*numbers, *interfaces, *blocks])

    def results(self, records: Iterable[Record | Failure], progress: Meter) -> Iterator[Result | Failure]:
        """The answers for a stretch of the pairs."""
        items = interactions.stream(
            self.model,
            (self.pairs[record.index] for record in records),
            linker=self.linker,
            on_error=self.run.on_error,
            on_progress=progress.tokens,
        )
        for item in items:
            if isinstance(item, Failure):
                yield item
                continue
            result = self._result(item)
            progress.record(result.meta["length"])
            if self.observer is not None:
                self.observer(result)
            yield result

    def _result(self, found: PairContacts) -> Result:
        pair, interface = found.pair, found.interface(self.threshold)
        arrays: dict[str, Any] = {
            **self.shown(pair),
            "length_a": found.border,
            "length_b": len(found.contacts) - found.border,
            "highest_probability": found.best.probability,
            **{f"interface_{chain.lower()}": listed(interface, chain) for chain in "AB"},
            **({"contacts_aa": found.aa, "contacts_bb": found.bb, "contacts_ab": found.ab} if self.maps else {}),
            "contacts": found.contacts,
            "residues": interface,
            "best": found.best,
        }
        names = (pair.a.id, pair.b.id if pair.b.id != pair.a.id else f"{pair.b.id} (B)")
        chains = dict(zip(names, found.meta["chains"], strict=True))
        return Result(pair.index, pair.id, arrays, {**found.meta, "chains": chains})


def listed(interface: Iterable[InterfaceResidue], chain: str) -> str:
    """The interface residues of a chain in one cell of a table, such as `L33=0.71 D51=0.55`."""
    own = (each for each in interface if each.chain == chain)
    return " ".join(f"{each.residue}{each.position}={each.probability:.3f}" for each in own)


class Interfaces:
    """Prints the interface of each pair, a line per residue, or with --json an object per pair."""

    def show(self, item: Result | Failure, *, json: bool) -> None:
        """One pair."""
        if isinstance(item, Failure):
            return
        arrays, residues = item.arrays, item.arrays["residues"]
        if json:
            hidden = ("contacts", "residues", "best", "interface_a", "interface_b")
            shown = {name: value for name, value in arrays.items() if name not in hidden}
            interface = [dataclasses.asdict(each) for each in residues]
            typer.echo(json_module.dumps({"id": item.id, **shown, "interface": interface}))
            return
        typer.echo(
            f"{item.id}: {arrays['length_a']} + {arrays['length_b']} residues, "
            f"highest probability between the two {arrays['highest_probability']:.3f}"
        )
        best: InterfaceResidue = arrays["best"]
        if not residues:
            partner = f"{best.partner_residue}{best.partner_position}"
            typer.echo(f"  below the threshold: A {best.residue}{best.position} with B {partner}")
            return
        typer.echo("  chain  position  residue  probability  touches")
        for each in residues:
            other = "B" if each.chain == "A" else "A"
            typer.echo(
                f"  {each.chain:>5}  {each.position:>8}  {each.residue:>7}  {each.probability:>11.3f}  "
                f"{other} {each.partner_residue}{each.partner_position}"
            )
