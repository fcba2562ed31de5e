"""What the server remembers, in SQLite or PostgreSQL: API keys, usage, status probes, incidents, the web app's own."""

from esmkit.errors import MissingExtraError

try:
    import alembic  # noqa: F401
    import sqlalchemy  # noqa: F401
except ModuleNotFoundError as error:
    raise MissingExtraError(
        f"API keys and usage need {error.name}, which is not installed. Install it with: pip install 'esmkit[server]'",
        extra="server",
    ) from error

from esmkit.store.database import DEFAULT_FILE, database_url
from esmkit.store.incidents import IMPACTS, Impact, Incident, IncidentMessage
from esmkit.store.keys import KeyInfo, KeyState
from esmkit.store.probes import MAX_DAYS, ModelUptime, UptimeDay
from esmkit.store.saved import MAX_SAVED_BYTES
from esmkit.store.store import Store
from esmkit.store.usage import GROUPS, Group, UsageRow, UsageTotal

__all__ = [
    "DEFAULT_FILE",
    "GROUPS",
    "IMPACTS",
    "MAX_DAYS",
    "MAX_SAVED_BYTES",
    "Group",
    "Impact",
    "Incident",
    "IncidentMessage",
    "KeyInfo",
    "KeyState",
    "ModelUptime",
    "Store",
    "UptimeDay",
    "UsageRow",
    "UsageTotal",
    "database_url",
]
