"""Mutation effects: scores of protein variants under a model, scans of all single substitutions, and their pictures.

variants -> methods -> scoring -> scan -> heatmap, page, logo
table                             proteingym
"""

from esmkit.applications.mutations.methods import METHODS, Method, MethodName
from esmkit.applications.mutations.scan import PositionSummary, Scan, scan
from esmkit.applications.mutations.scoring import Scores, score, stream
from esmkit.applications.mutations.variants import Variant, describe, parse, singles

__all__ = [
    "METHODS",
    "Method",
    "MethodName",
    "PositionSummary",
    "Scan",
    "Scores",
    "Variant",
    "describe",
    "parse",
    "scan",
    "score",
    "singles",
    "stream",
]
