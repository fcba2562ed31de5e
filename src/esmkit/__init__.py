"""esmkit: ESM-2 protein language models, fast and exact, on your own machine."""

__version__ = "0.1.0"
