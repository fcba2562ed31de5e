"""Batch jobs: a file of proteins is sent, and the result downloaded when it is there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request

from esmkit.server.services import services
from esmkit.web.page import Page

OUTPUTS: Mapping[str, str] = {
    "mean": "Embedding: mean over residues",
    "max": "Embedding: largest value over residues",
    "per_residue": "Embedding of every residue",
    "log_prob": "Log-probability",
    "pseudo_log_likelihood": "Pseudo-log-likelihood, one mask per residue (slow)",
    "logits": "Logits of every residue",
    "contacts": "Contacts",
}
"""What most people want; the API and the command line know more."""
FORMATS: Mapping[str, str] = {
    "parquet": "Parquet",
    "hdf5": "HDF5",
    "npz": "NumPy (npz)",
    "jsonl": "JSON lines",
    "csv": "CSV",
}


async def _data(request: Request) -> Mapping[str, Any]:
    server = services(request)
    return {
        "is_served": server.jobs is not None,
        "outputs": OUTPUTS,
        "formats": FORMATS,
        "max_bytes": server.settings.jobs_upload_bytes,
        "keep_days": round(server.settings.jobs_keep_s / 86_400, 1),
    }


PAGE = Page(
    name="jobs",
    path="/jobs",
    title="Jobs",
    description="Send a file of proteins, and get the result when it is ready.",
    data=_data,
)
