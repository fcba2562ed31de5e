"""How many replicas a model shall have. Ray's controller runs this policy; delays and bounds are Ray's own.

Ray sends this module to its controller as it is, so it imports nothing of esmkit.
"""

from __future__ import annotations

from typing import Any

WANTED = "wanted_replicas"
"""What every replica reports: how many replicas its own load is worth."""
IN_USE = 0.01
"""A replica with any request at all keeps one alive."""


def wanted_replicas(queued_tokens: int, target_tokens: int, busy: float, *, is_used: bool) -> float:
    """What the load of one replica is worth.

    Args:
        queued_tokens: that wait in it.
        target_tokens: queued tokens for which there shall be one replica.
        busy: share of the time in which it computed, so that replicas that keep the queue short are not taken away.
        is_used: whether anybody asked it for anything.

    Example:
        >>> wanted_replicas(30_000, 10_000, 1.0, is_used=True)
        3.0
        >>> wanted_replicas(0, 10_000, 0.4, is_used=True)
        0.4
        >>> wanted_replicas(0, 10_000, 0.1, is_used=False)
        0.0
    """
    return max(queued_tokens / target_tokens, min(busy, 1.0), IN_USE) if is_used else 0.0


def by_queued_tokens(context: Any) -> tuple[float, dict[str, Any]]:
    """Ray's form of a policy: the sum over all replicas, which Ray rounds up.

    The last replica stays as long as Ray remembers a request: without replica, Ray would start one for it at once.
    """
    reported: dict[Any, float] = (context.aggregated_metrics or {}).get(WANTED, {})
    return max(sum(reported.values()), IN_USE if context.total_num_requests > 0 else 0.0), {}
