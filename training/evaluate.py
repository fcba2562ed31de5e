"""Evaluates a model, by default the one in the wheel: JSON, and tables for its README.

    python training/evaluate.py --corpus corpus --labelled labelled --out training/evaluation.json \
        --markdown src/esmkit/models/embedded/README.md

Needs esmkit with the extra `structure`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from evaluation import contacts, mutations, page, perplexity, retrieval

import esmkit
from esmkit.engine import Model


def main() -> None:
    """Reads the command line, measures, writes."""
    options = _options()
    model = esmkit.load(options.model, threads=options.threads)
    report: dict[str, Any] = {"date": f"{datetime.now(UTC):%Y-%m-%d}", "model": _about(model), "seconds": {}}
    parts: dict[str, Callable[[], Any]] = {
        "perplexity": lambda: perplexity.evaluate(model, options.corpus),
        "mutations": lambda: mutations.evaluate(model, options.labelled),
        "contacts": lambda: contacts.evaluate(model, options.labelled),
        "retrieval": lambda: retrieval.evaluate(model, options.labelled),
    }
    for name, evaluate in parts.items():
        started = time.perf_counter()
        report[name] = evaluate()
        report["seconds"][name] = round(time.perf_counter() - started, 1)
        print(f"{name}: {report['seconds'][name]} s", file=sys.stderr)
    options.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    if options.markdown is not None:
        page.write(report, options.markdown)
    print(page.tables(report))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Evaluate a model: perplexity, mutations, contacts, families.")
    parser.add_argument("--model", default="esm2-mini", help="slug or folder (default: %(default)s)")
    parser.add_argument("--corpus", type=Path, required=True, help="folder with train.fasta.zst and valid.fasta.zst")
    parser.add_argument("--labelled", type=Path, required=True, help="folder with dms, structures and homology")
    parser.add_argument("--out", type=Path, required=True, help="JSON to write")
    parser.add_argument("--markdown", type=Path, help="page with marks between which the tables go")
    parser.add_argument("--threads", type=int, help="CPU threads")
    return parser.parse_args()


def _about(model: Model) -> dict[str, Any]:
    shape = model.shape
    provenance = {name: value for name, value in model.provenance.items() if name != "source"}  # a path of this machine
    return {
        **provenance,
        "layers": shape.num_layers,
        "width": shape.width,
        "heads": shape.num_heads,
        "tokens": model.engine.loaded.about.get("tokens"),
        "parameters": sum(parameter.numel() for parameter in model.engine.loaded.module.parameters()),
    }


if __name__ == "__main__":
    main()
