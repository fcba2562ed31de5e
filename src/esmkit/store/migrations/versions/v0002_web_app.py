"""Sessions and saved states of the web app."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Makes the tables."""
    time = sa.DateTime(timezone=True)
    op.create_table(
        "web_sessions",
        sa.Column("secret_sha256", sa.String(64), nullable=False),
        sa.Column("key_id", sa.String(16), nullable=False),
        sa.Column("created_at", time, nullable=False),
        sa.Column("expires_at", time, nullable=False),
        sa.PrimaryKeyConstraint("secret_sha256", name="pk_web_sessions"),
        sa.ForeignKeyConstraint(["key_id"], ["api_keys.id"], name="fk_web_sessions_key_id"),
    )
    op.create_index("ix_web_sessions_key_id", "web_sessions", ["key_id"])
    op.create_index("ix_web_sessions_expires_at", "web_sessions", ["expires_at"])
    op.create_table(
        "saved_states",
        sa.Column("id_sha256", sa.String(64), nullable=False),
        sa.Column("key_id", sa.String(16)),
        sa.Column("created_at", time, nullable=False),
        sa.Column("expires_at", time, nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id_sha256", name="pk_saved_states"),
        sa.ForeignKeyConstraint(["key_id"], ["api_keys.id"], name="fk_saved_states_key_id"),
    )
    op.create_index("ix_saved_states_key_id", "saved_states", ["key_id"])
    op.create_index("ix_saved_states_expires_at", "saved_states", ["expires_at"])
