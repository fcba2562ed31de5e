"""The asynchronous front for servers: requests of many callers, batched together, for several models.

`front` takes requests, `service` looks after one model, `schedule` chooses the rows that run next, `dispatch` sends
them to a `process`, in which `worker` computes them.
"""

from esmkit.engine.queue.front import ServingQueue
from esmkit.engine.queue.spec import CacheStats, ModelInfo, ModelSpec, ModelStats, QueueStats

__all__ = ["CacheStats", "ModelInfo", "ModelSpec", "ModelStats", "QueueStats", "ServingQueue"]
