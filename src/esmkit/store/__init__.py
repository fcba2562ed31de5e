"""What the server remembers, in SQLite or PostgreSQL: keys, usage, status, incidents, batch jobs, the web app's own."""

from esmkit.errors import MissingExtraError

try:
    import alembic  # noqa: F401
    import sqlalchemy  # noqa: F401
except ModuleNotFoundError as error:
    raise MissingExtraError(
        f"API keys and usage need {error.name}, which is not installed. Install it with: pip install 'esmkit[server]'",
        extra="server",
    ) from error

from esmkit.store.database import DEFAULT_FILE, data_folder, database_url
from esmkit.store.incidents import IMPACTS, Impact, Incident, IncidentMessage
from esmkit.store.job import ENDED, Backlog, Job, JobEnd, JobProgress, JobQuotaError, JobState, NewJob, new_job_id
from esmkit.store.keys import KeyInfo, KeyState
from esmkit.store.probes import MAX_DAYS, ModelUptime, UptimeDay
from esmkit.store.saved import MAX_SAVED_BYTES
from esmkit.store.store import Store
from esmkit.store.usage import GROUPS, Group, UsageRow, UsageTotal

__all__ = [
    "DEFAULT_FILE",
    "ENDED",
    "GROUPS",
    "IMPACTS",
    "MAX_DAYS",
    "MAX_SAVED_BYTES",
    "Backlog",
    "Group",
    "Impact",
    "Incident",
    "IncidentMessage",
    "Job",
    "JobEnd",
    "JobProgress",
    "JobQuotaError",
    "JobState",
    "KeyInfo",
    "KeyState",
    "ModelUptime",
    "NewJob",
    "Store",
    "UptimeDay",
    "UsageRow",
    "UsageTotal",
    "data_folder",
    "database_url",
    "new_job_id",
]
