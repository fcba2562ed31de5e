"""Bringing a database to the newest schema, one step file of `migrations/versions` after the other."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text
from sqlalchemy.orm import Session

from esmkit.errors import InvalidConfigError
from esmkit.store.database import SETTING, Database

MIGRATIONS = Path(__file__).parent / "migrations"
_ADVISORY_LOCK = 0x65736D6B6974  # "esmkit"; any number that nobody else uses


def upgrade(database: Database) -> None:
    """Runs the steps that a database lacks, all in one transaction that one process at a time can hold.

    Raises:
        InvalidConfigError: the database was written by a newer esmkit.
    """
    newest = ScriptDirectory(str(MIGRATIONS)).get_current_head()
    with database.read() as session:
        if _revision(session, database) == newest:
            return
    with database.write() as session:
        if not database.is_sqlite:
            session.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _ADVISORY_LOCK})
        _revision(session, database)
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
        config.attributes["connection"] = session.connection()
        command.upgrade(config, "head")


def _revision(session: Session, database: Database) -> str | None:
    """The schema that the database has, None if it has none."""
    known = {script.revision for script in ScriptDirectory(str(MIGRATIONS)).walk_revisions()}
    found = MigrationContext.configure(session.connection()).get_current_revision()
    if found is not None and found not in known:
        raise InvalidConfigError(
            f"{database.name} was written by a newer esmkit (schema {found}; this one knows up to {max(known)}). "
            "Upgrade esmkit, or use another database",
            setting=SETTING,
        )
    return found
