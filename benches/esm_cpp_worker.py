"""Runs in the environment of esm-cpp: one JSON request per line in, one JSON answer per line out."""

from __future__ import annotations

import json
import sys
import time

import esm_cpp
import numpy as np


def main() -> None:
    """First {weights, sequences}; then {out} as often as wanted: logits of all residues go to that file."""
    first = json.loads(sys.stdin.readline())
    model = esm_cpp.Model.load_from_safetensors(first["weights"])
    tokenizer = esm_cpp.Tokenizer()
    print(json.dumps({"isa": esm_cpp.current_isa(), "threads": model.num_threads}), flush=True)
    for line in sys.stdin:
        started = time.perf_counter()
        tokens = [np.asarray(tokenizer.encode(text), dtype=np.int32) for text in first["sequences"]]
        logits = model.forward_scheduled(tokens)
        seconds = time.perf_counter() - started
        np.save(json.loads(line)["out"], np.concatenate([rows[1:-1] for rows in logits]))
        print(json.dumps({"seconds": seconds}), flush=True)


main()
