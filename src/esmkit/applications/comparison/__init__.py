"""Two proteins compared residue by residue through their representations.

similarity -> alignment -> comparison -> view, plot
"""

from esmkit.applications.comparison.alignment import Alignment, Mode, align
from esmkit.applications.comparison.comparison import Comparison, Settings, Significance, Stretch, compare
from esmkit.applications.comparison.similarity import contrast, cosines

__all__ = [
    "Alignment",
    "Comparison",
    "Mode",
    "Settings",
    "Significance",
    "Stretch",
    "align",
    "compare",
    "contrast",
    "cosines",
]
