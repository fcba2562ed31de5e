"""How many replicas each model has and what each of them takes, from the settings of the operator."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from esmkit.errors import InvalidConfigError
from esmkit.server.settings import ServerSettings

SHARED, INGRESS = "shared", "ingress"
"""What settings call the replicas that several models share, and the HTTP applications."""
_COUNTS = re.compile(r"(\d+)-([1-9]\d*)")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Size:
    """Bounds of one deployment, and what Ray keeps for each of its replicas."""

    least: int
    most: int
    cpus: float
    gpus: float


def sizes(settings: ServerSettings, names: Mapping[str, str]) -> dict[str, Size]:
    """The size of each deployment: by slug, `shared`, `ingress`.

    Args:
        settings: `ray_replicas`, `ray_cpus`, `ray_gpus`: a value for all, `NAME=value` for one.
        names: slug by every name that the operator may use, in lower case.

    Raises:
        InvalidConfigError: a value cannot be read, or is for a model that is not served.
    """
    own = {**names, SHARED: SHARED, INGRESS: INGRESS}
    counts = _chosen(settings.ray_replicas, own, "ray_replicas", _counts)
    cpus = _chosen(settings.ray_cpus, own, "ray_cpus", _amount)
    gpus = _chosen(settings.ray_gpus, own, "ray_gpus", _amount)
    found = {}
    for name in dict.fromkeys(names.values()) | {SHARED: None}:
        least, most = counts.get(name, counts.get("", (1, 1)))
        found[name] = Size(least, most, cpus.get(name, cpus.get("", 1.0)), gpus.get(name, gpus.get("", 0.0)))
    front = settings.ray_ingress
    return {**found, INGRESS: Size(front, front, cpus.get(INGRESS, 0.0), 0.0)}


def _chosen(
    values: Iterable[str], names: Mapping[str, str], setting: str, read: Callable[[str], T | None]
) -> dict[str, T]:
    """What was chosen per deployment, under "" for all."""
    chosen: dict[str, T] = {}
    for text in values:
        name, is_for_one, value = text.rpartition("=")
        if is_for_one and name.casefold() not in names:
            raise InvalidConfigError(
                f"{setting}={text!r}: {name!r} is not served; choose from {', '.join(dict.fromkeys(names.values()))}",
                setting=setting,
            )
        read_value = read(value)
        if read_value is None:
            form = "MIN-MAX, such as 0-4, MIN no more than MAX" if read is _counts else "a number, such as 1 or 0.5"
            raise InvalidConfigError(f"{setting}={text!r}: {value!r} is not {form}", setting=setting)
        chosen[names[name.casefold()] if is_for_one else ""] = read_value
    return chosen


def _counts(text: str) -> tuple[int, int] | None:
    found = _COUNTS.fullmatch(text)
    if found is None or int(found[1]) > int(found[2]):
        return None
    return int(found[1]), int(found[2])


def _amount(text: str) -> float | None:
    return float(text) if re.fullmatch(r"\d+(\.\d+)?", text) else None
