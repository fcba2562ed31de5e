"""The tables. They change together with a new file in `migrations/versions`; a test compares the two."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any, ClassVar

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Dialect,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    TypeDecorator,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship


class UtcDateTime(TypeDecorator[datetime]):
    """A time in UTC; SQLite has no time zones, so they are taken off on the way in and put back on the way out."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Into the database."""
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Out of the database."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    """What all tables share: constraints with the same names on every database, so that migrations can drop them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_N_label)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        datetime: UtcDateTime,
        float: Double,
        list[str]: JSON(none_as_null=True),
        dict[str, int]: JSON,
        dict[str, Any]: JSON(none_as_null=True),
    }


class ApiKey(Base):
    """A key, of which only hashes are kept: one for its secret, one for the secret before, while that still works."""

    __tablename__ = "api_keys"
    __table_args__ = (
        Index(
            "uq_api_keys_live_name",
            "name",
            unique=True,
            sqlite_where=text("revoked_at IS NULL"),
            postgresql_where=text("revoked_at IS NULL"),
        ),
    )

    id: Mapped[str] = mapped_column(String(16), primary_key=True)
    name: Mapped[str] = mapped_column(String(100))
    secret_sha256: Mapped[str] = mapped_column(String(64), unique=True)
    previous_sha256: Mapped[str | None] = mapped_column(String(64), unique=True)
    previous_until: Mapped[datetime | None]
    models: Mapped[list[str] | None]
    actions: Mapped[list[str] | None]
    admin: Mapped[bool]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class WebSession(Base):
    """Somebody who showed a key to the web app, and is known by a cookie since; only the hash of that is kept."""

    __tablename__ = "web_sessions"

    secret_sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    key_id: Mapped[str] = mapped_column(ForeignKey("api_keys.id"), index=True)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)


class SavedState(Base):
    """What somebody asked to keep of a page; only the hash of the id that leads to it is kept."""

    __tablename__ = "saved_states"

    id_sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    key_id: Mapped[str | None] = mapped_column(ForeignKey("api_keys.id"), index=True)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    content: Mapped[bytes] = mapped_column(LargeBinary)


class JobRow(Base):
    """A batch job: what was asked, how far it is, and which server works on it until when."""

    __tablename__ = "jobs"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    key_id: Mapped[str | None] = mapped_column(ForeignKey("api_keys.id"), index=True)
    place: Mapped[str] = mapped_column(String(64))
    name: Mapped[str] = mapped_column(String(100))
    model: Mapped[str]
    asked: Mapped[dict[str, Any]]
    idempotency_sha256: Mapped[str | None] = mapped_column(String(64), unique=True)
    request_sha256: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(16), index=True)
    note: Mapped[str | None]
    error: Mapped[dict[str, Any] | None]
    records_total: Mapped[int] = mapped_column(BigInteger)
    residues_total: Mapped[int] = mapped_column(BigInteger)
    records: Mapped[int] = mapped_column(BigInteger, default=0)
    residues: Mapped[int] = mapped_column(BigInteger, default=0)
    failures: Mapped[int] = mapped_column(BigInteger, default=0)
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    residues_per_s: Mapped[float | None]
    crashes: Mapped[int] = mapped_column(default=0)
    retries: Mapped[int] = mapped_column(default=0)
    is_cancelled: Mapped[bool] = mapped_column(default=False)
    owner: Mapped[str | None] = mapped_column(String(32))
    lease_until: Mapped[datetime | None]
    retry_at: Mapped[datetime | None]
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    expires_at: Mapped[datetime | None] = mapped_column(index=True)
    webhook: Mapped[str | None]
    webhook_state: Mapped[str | None] = mapped_column(String(16))
    webhook_tries: Mapped[int] = mapped_column(default=0)
    webhook_at: Mapped[datetime | None] = mapped_column(index=True)


class DailyUsage(Base):
    """What one key used of one model and action on one day."""

    __tablename__ = "daily_usage"

    # Empty for requests without a key, not NULL: two NULLs are never equal, so they would not meet in one row.
    key_id: Mapped[str] = mapped_column(String(16), primary_key=True)
    model: Mapped[str] = mapped_column(primary_key=True)
    action: Mapped[str] = mapped_column(primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True, index=True)
    requests: Mapped[int] = mapped_column(BigInteger)
    residues: Mapped[int] = mapped_column(BigInteger)
    seconds: Mapped[float]


class Probe(Base):
    """One probe of one model, for the last days."""

    __tablename__ = "probes"

    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    model: Mapped[str]
    at: Mapped[datetime] = mapped_column(index=True)
    ok: Mapped[bool]
    latency_ms: Mapped[float | None]


class ProbeDay(Base):
    """All probes of one model on one day; `latencies` counts successful probes by milliseconds."""

    __tablename__ = "probe_days"

    model: Mapped[str] = mapped_column(primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    failed: Mapped[int]
    latencies: Mapped[dict[str, int]]


class IncidentRow(Base):
    """An outage that people should know about."""

    __tablename__ = "incidents"

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    impact: Mapped[str] = mapped_column(String(16))
    models: Mapped[list[str] | None]
    opened_at: Mapped[datetime]
    closed_at: Mapped[datetime | None] = mapped_column(index=True)
    messages: Mapped[list[MessageRow]] = relationship(order_by="MessageRow.id", lazy="selectin")


class MessageRow(Base):
    """One entry in the timeline of an incident."""

    __tablename__ = "incident_messages"

    id: Mapped[int] = mapped_column(primary_key=True)
    incident_id: Mapped[int] = mapped_column(ForeignKey("incidents.id"), index=True)
    at: Mapped[datetime]
    text: Mapped[str]
