"""From the settings of a server to the models and the queue that answer for it."""

from __future__ import annotations

from collections.abc import Callable

from esmkit.config import Settings
from esmkit.engine.queue import ModelSpec, ServingQueue
from esmkit.errors import EsmkitError
from esmkit.server.settings import ServerSettings


def model_specs(settings: ServerSettings) -> list[ModelSpec]:
    """What to load for each model that a server answers for."""
    return [
        ModelSpec(
            name=name,
            dtype=settings.dtype,
            device=settings.device,
            attention=settings.attention,
            batch_tokens=settings.batch_tokens,
            threads=settings.threads,
            max_length=settings.max_residues,
        )
        for name in settings.models
    ]


def serving_queue(settings: ServerSettings, home: Settings, *, on_fatal: Callable[[EsmkitError], None]) -> ServingQueue:
    """The queue of the models that a server answers for, not started; `home` says where weights are."""
    return ServingQueue(
        model_specs(settings),
        memory_budget_bytes=settings.memory_budget_bytes,
        max_queued_tokens=settings.max_queued_tokens,
        restarts=settings.restarts,
        settings=home,
        warm=() if settings.lazy else settings.models,
        cache_bytes=settings.cache_bytes,
        on_fatal=on_fatal,
    )
