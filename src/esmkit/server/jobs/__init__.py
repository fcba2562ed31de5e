"""Batch jobs: a file of proteins comes in, a file of results goes out, whatever becomes of the server in between."""

from esmkit.server.jobs.worker import Worker

__all__ = ["Worker"]
