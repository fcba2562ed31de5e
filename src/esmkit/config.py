"""Settings of a process, read once by a shell; nothing reads the environment at import time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from esmkit.errors import InvalidConfigError

DEFAULT_HUB_URL = "https://huggingface.co"
_TRUE, _FALSE = {"1", "true", "yes", "on"}, {"", "0", "false", "no", "off"}


@dataclass(frozen=True, slots=True)
class Settings:
    """Where esmkit keeps weights and whether it may use the network.

    Attributes:
        home: folder for downloaded weights and digests (`ESMKIT_HOME`).
        offline: never open a network connection (`ESMKIT_OFFLINE`, or `HF_HUB_OFFLINE`).
        hub_url: where model files come from (`HF_ENDPOINT`).
    """

    home: Path
    offline: bool = False
    hub_url: str = DEFAULT_HUB_URL

    @classmethod
    def from_env(cls, environment: Mapping[str, str], *, offline: bool | None = None) -> Settings:
        """Settings from environment variables; an explicit `offline` wins.

        Raises:
            InvalidConfigError: a switch is neither on nor off.
        """
        cache = Path(environment.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        home = Path(environment.get("ESMKIT_HOME") or cache / "esmkit").expanduser()
        if offline is None:
            offline = any(_switch(environment, name) for name in ("ESMKIT_OFFLINE", "HF_HUB_OFFLINE"))
        return cls(home, offline, environment.get("HF_ENDPOINT") or DEFAULT_HUB_URL)


def _switch(environment: Mapping[str, str], name: str) -> bool:
    value = environment.get(name, "").strip().lower()
    if value not in _TRUE | _FALSE:
        raise InvalidConfigError(f"{name}={value!r} is neither on (1, true, yes) nor off (0, false, no)", setting=name)
    return value in _TRUE
