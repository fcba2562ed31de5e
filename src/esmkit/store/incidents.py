"""Incidents: what people wrote about an outage, from opening to closing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, get_args

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from esmkit.errors import InvalidConfigError
from esmkit.store.database import Database, utc
from esmkit.store.tables import IncidentRow, MessageRow

Impact = Literal["maintenance", "minor", "major", "critical"]
IMPACTS: tuple[Impact, ...] = get_args(Impact)


@dataclass(frozen=True, slots=True)
class IncidentMessage:
    """One entry in a timeline, with its time in UTC."""

    at: datetime
    text: str


@dataclass(frozen=True, slots=True)
class Incident:
    """An outage; all times in UTC, `models` None for all, `messages` oldest first, `closed_at` None while it lasts."""

    id: int
    title: str
    impact: str
    models: tuple[str, ...] | None
    opened_at: datetime
    closed_at: datetime | None
    messages: tuple[IncidentMessage, ...]


class Incidents:
    """The incidents in a store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def open(
        self, title: str, *, impact: Impact = "minor", models: Iterable[str] | None = None, message: str | None = None
    ) -> Incident:
        """A new incident.

        Args:
            title: one line.
            impact: how bad it is.
            models: slugs that are affected; None for all.
            message: first entry of its timeline.

        Raises:
            InvalidConfigError: an empty title or message, or an unknown impact.
        """
        if impact not in IMPACTS:
            raise InvalidConfigError(f"impact {impact!r} is none of {', '.join(IMPACTS)}", setting="impact")
        affected = sorted({model.strip().lower() for model in models or ()} - {""}) or None
        now = self._database.now()
        with self._database.write() as session:
            row = IncidentRow(title=_written(title, "title"), impact=impact, models=affected, opened_at=now)
            return self._saved(session, row, message, now)

    def update(self, incident_id: int, message: str) -> Incident:
        """One more entry in the timeline of an incident, open or closed.

        Raises:
            InvalidConfigError: there is no such incident, or the message is empty.
        """
        with self._database.write() as session:
            return self._saved(session, _existing(session, incident_id), message, self._database.now())

    def close(self, incident_id: int, *, message: str | None = None) -> Incident:
        """Ends an incident.

        Raises:
            InvalidConfigError: there is no such incident, or it was closed before.
        """
        with self._database.write() as session:
            row, now = _existing(session, incident_id), self._database.now()
            if row.closed_at is not None:
                raise InvalidConfigError(
                    f"incident {row.id} was closed at {row.closed_at:%Y-%m-%d %H:%M} UTC", setting="incident"
                )
            row.closed_at = now
            return self._saved(session, row, message, now)

    def list(self, *, since: datetime | None = None) -> tuple[Incident, ...]:
        """Incidents that were open at any time from `since` on (None: ever), newest first."""
        rows = select(IncidentRow).order_by(IncidentRow.id.desc())
        if since is not None:
            lasted = IncidentRow.closed_at >= utc(since, setting="since")
            rows = rows.where(or_(IncidentRow.closed_at.is_(None), lasted))
        with self._database.read() as session:
            return tuple(_incident(row) for row in session.scalars(rows))

    def _saved(self, session: Session, row: IncidentRow, message: str | None, now: datetime) -> Incident:
        session.add(row)
        if message is not None:
            row.messages.append(MessageRow(at=now, text=_written(message, "message")))
        session.flush()
        return _incident(row)


def _existing(session: Session, incident_id: int) -> IncidentRow:
    row = session.get(IncidentRow, incident_id, with_for_update=True)
    if row is None:
        raise InvalidConfigError(f"there is no incident {incident_id}; see 'esmkit incident list'", setting="incident")
    return row


def _incident(row: IncidentRow) -> Incident:
    messages = tuple(IncidentMessage(message.at, message.text) for message in row.messages)
    models = None if row.models is None else tuple(row.models)
    return Incident(row.id, row.title, row.impact, models, row.opened_at, row.closed_at, messages)


def _written(text: str, setting: str) -> str:
    stripped = text.strip()
    if not stripped or "\0" in stripped:
        raise InvalidConfigError(f"the {setting} of an incident must hold text", setting=setting)
    return stripped
