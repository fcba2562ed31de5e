"""Batch jobs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Makes the table."""
    time = sa.DateTime(timezone=True)
    op.create_table(
        "jobs",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("key_id", sa.String(16)),
        sa.Column("place", sa.String(64), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("asked", sa.JSON(), nullable=False),
        sa.Column("idempotency_sha256", sa.String(64)),
        sa.Column("request_sha256", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("note", sa.String()),
        sa.Column("error", sa.JSON()),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in ("records_total", "residues_total")),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in ("records", "residues", "failures")),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("residues_per_s", sa.Double()),
        sa.Column("crashes", sa.Integer(), nullable=False),
        sa.Column("retries", sa.Integer(), nullable=False),
        sa.Column("is_cancelled", sa.Boolean(), nullable=False),
        sa.Column("owner", sa.String(32)),
        sa.Column("lease_until", time),
        sa.Column("retry_at", time),
        sa.Column("created_at", time, nullable=False),
        *(sa.Column(name, time) for name in ("started_at", "finished_at", "expires_at")),
        sa.Column("webhook", sa.String()),
        sa.Column("webhook_state", sa.String(16)),
        sa.Column("webhook_tries", sa.Integer(), nullable=False),
        sa.Column("webhook_at", time),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
        sa.UniqueConstraint("idempotency_sha256", name="uq_jobs_idempotency_sha256"),
        sa.ForeignKeyConstraint(["key_id"], ["api_keys.id"], name="fk_jobs_key_id"),
    )
    for name in ("key_id", "state", "expires_at", "webhook_at"):
        op.create_index(f"ix_jobs_{name}", "jobs", [name])
