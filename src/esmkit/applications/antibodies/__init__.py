"""Antibodies: heavy and light chains in one sequence, and where their framework and CDR regions lie."""

from esmkit.applications.antibodies.chains import embedding_columns, stream
from esmkit.applications.antibodies.numbering import number_regions
from esmkit.applications.antibodies.regions import REGIONS, Region, read_regions, region_mask, regions_csv

__all__ = [
    "REGIONS",
    "Region",
    "embedding_columns",
    "number_regions",
    "read_regions",
    "region_mask",
    "regions_csv",
    "stream",
]
