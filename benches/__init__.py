"""Benchmarks: esmkit and its peers side by side on one machine; see scripts/bench. No part of the wheel."""
