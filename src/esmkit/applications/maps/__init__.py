"""Maps of proteins in the plane, and clusters, from their embeddings.

vectors or embeddings.parquet -> projection, clusters -> chart -> picture, page
annotations -> columns
"""

from esmkit.applications.maps.chart import Chart, axis_labels
from esmkit.applications.maps.clusters import NOISE, Agreement, Clusters, agreement, hdbscan, leiden
from esmkit.applications.maps.columns import understand
from esmkit.applications.maps.embeddings import Embeddings, is_embeddings, read_embeddings
from esmkit.applications.maps.page import write_page
from esmkit.applications.maps.picture import draw_chart
from esmkit.applications.maps.projection import Projection, pca, umap

__all__ = [
    "NOISE",
    "Agreement",
    "Chart",
    "Clusters",
    "Embeddings",
    "Projection",
    "agreement",
    "axis_labels",
    "draw_chart",
    "hdbscan",
    "is_embeddings",
    "leiden",
    "pca",
    "read_embeddings",
    "umap",
    "understand",
    "write_page",
]
