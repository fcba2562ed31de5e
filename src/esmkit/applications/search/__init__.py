"""Search by embedding, and labels from what was found.

card, filters, nearest -> entries -> table -> index -> building
identity                  embeddings          votes -> calibration -> annotation
"""

from esmkit.applications.search.annotation import MIN_RELIABILITY, NEIGHBOURS, UNKNOWN, Annotation, Annotator
from esmkit.applications.search.building import Filled, add, build
from esmkit.applications.search.calibration import Calibration
from esmkit.applications.search.card import Approximate, IndexCard, Metadata, Space
from esmkit.applications.search.embeddings import Embeddings, is_embeddings
from esmkit.applications.search.entries import Entry, Sequences, Source
from esmkit.applications.search.filters import Comparison, parse_filter
from esmkit.applications.search.identity import Alignment, align
from esmkit.applications.search.index import Index
from esmkit.applications.search.nearest import Hit

__all__ = [
    "MIN_RELIABILITY",
    "NEIGHBOURS",
    "UNKNOWN",
    "Alignment",
    "Annotation",
    "Annotator",
    "Approximate",
    "Calibration",
    "Comparison",
    "Embeddings",
    "Entry",
    "Filled",
    "Hit",
    "Index",
    "IndexCard",
    "Metadata",
    "Sequences",
    "Source",
    "Space",
    "add",
    "align",
    "build",
    "is_embeddings",
    "parse_filter",
]
