"""What a serving queue is told about a model, and what it tells about its models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from esmkit.types import ModelShape

State = Literal["unloaded", "loading", "ready", "failed"]


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """One model to serve; fields as in `esmkit.load`.

    Attributes:
        name: slug, checkpoint name, hub id or path.
        max_length: residues of the longest sequence, or of a window of a longer one.
    """

    name: str
    dtype: str = "float32"
    device: str = "auto"
    attention: str = "auto"
    batch_tokens: int | None = None
    threads: int | None = None
    max_length: int = 2048


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What is known of a served model without loading it, and where it stands.

    Attributes:
        provides: features that outputs may ask for.
        memory_bytes: what it takes while it is loaded: measured once it was, an estimate before.
        provenance: what makes its answers; None until it was loaded for the first time.
        error: code and message of why it is `failed`.
        is_down: its runner died, and there is no new one yet.
    """

    slug: str
    shape: ModelShape
    provides: frozenset[str]
    dtype: str
    max_length: int
    state: State
    memory_bytes: int
    provenance: Mapping[str, Any] | None
    error: str | None
    is_down: bool = False


@dataclass(slots=True)
class ModelStats:
    """Counts of one model since the start; all but the first three only ever grow.

    Attributes:
        queued_tokens: accepted and not yet sent to the runner.
        queued_requests: accepted and not yet answered.
        tokens_per_s: recent speed of the runner, 0 until it has been measured.
        is_speed_rough: it was measured on small batches alone, which are slow per token.
        requests: answered, each with a result or failure per record.
        residues: in rows computed; a masked scan of L residues counts L x L.
        batches: computed.
        batch_tokens: tokens in them.
        batch_room: tokens that would have fitted; batch_tokens / batch_room is how full batches were.
        wait_s: from acceptance to the first batch, summed over requests that got one.
        run_s: the runner was computing.
        overloaded: requests refused because the queue was full.
        expired: requests that missed their deadline.
        cancelled: requests whose caller went away.
        loads: times the model was loaded.
        restarts: times its runner died and a new one was started.
    """

    queued_tokens: int = 0
    queued_requests: int = 0
    tokens_per_s: float = 0.0
    is_speed_rough: bool = True
    requests: int = 0
    residues: int = 0
    batches: int = 0
    batch_tokens: int = 0
    batch_room: int = 0
    wait_s: float = 0.0
    run_s: float = 0.0
    overloaded: int = 0
    expired: int = 0
    cancelled: int = 0
    loads: int = 0
    restarts: int = 0

    @property
    def batch_fill(self) -> float:
        """Share of the room in batches that was used, 0 to 1."""
        return self.batch_tokens / self.batch_room if self.batch_room else 0.0


@dataclass(slots=True)
class CacheStats:
    """Counts of the result cache."""

    hits: int = 0
    misses: int = 0
    evictions: int = 0
    held_bytes: int = 0


@dataclass(frozen=True, slots=True)
class QueueStats:
    """All counts at one moment, by slug of the model."""

    models: Mapping[str, ModelStats]
    cache: CacheStats = field(default_factory=CacheStats)

    @property
    def queued_tokens(self) -> int:
        """Over all models."""
        return sum(model.queued_tokens for model in self.models.values())

    @property
    def queued_requests(self) -> int:
        """Over all models."""
        return sum(model.queued_requests for model in self.models.values())
