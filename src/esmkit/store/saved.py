"""States of pages that users asked to keep: bytes behind an id that nobody can guess, for a time."""

from __future__ import annotations

import re
import secrets

from sqlalchemy import delete, func, select

from esmkit.errors import UserError
from esmkit.store.database import Database
from esmkit.store.keys import digest_of
from esmkit.store.tables import SavedState

MAX_SAVED_BYTES = 1 << 20
MAX_PER_KEY = 200
MAX_TOTAL = 4096

_ID = re.compile("[A-Za-z0-9_-]{22}")


class SavedStates:
    """The saved states in a store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, content: bytes, lifetime_s: float, key_id: str | None) -> str:
        """Keeps something; also drops what has expired.

        Args:
            content: at most 1 MiB.
            lifetime_s: how long it is kept.
            key_id: `KeyInfo.id` of whoever asked; None without a key.

        Returns:
            The id, 22 characters for a URL. Whoever has it can read the content.

        Raises:
            InvalidConfigError: the lifetime is not more than 0, or longer than a year.
            UserError: the content is too large, or this key or everybody together keeps as much as allowed.
            StoreError: there is no such key, or the database cannot be written.
        """
        if len(content) > MAX_SAVED_BYTES:
            raise UserError(f"the page holds {len(content):,} bytes; at most {MAX_SAVED_BYTES:,} can be saved")
        state_id, now = secrets.token_urlsafe(16), self._database.now()
        row = SavedState(
            id_sha256=digest_of(state_id),
            key_id=key_id,
            created_at=now,
            expires_at=self._database.after(lifetime_s),
            content=content,
        )
        count = select(func.count()).select_from(SavedState)
        with self._database.write() as session:
            session.execute(delete(SavedState).where(SavedState.expires_at <= now))
            # On PostgreSQL, writers at the same moment do not see each other: the bounds may be passed by a few.
            if key_id is not None and (session.scalar(count.where(SavedState.key_id == key_id)) or 0) >= MAX_PER_KEY:
                raise UserError(f"this key keeps {MAX_PER_KEY} saved pages, as many as it may; wait until one expires")
            if (session.scalar(count) or 0) >= MAX_TOTAL:
                raise UserError(f"the server keeps {MAX_TOTAL} saved pages, as many as it may; wait until one expires")
            session.add(row)
        return state_id

    def get(self, state_id: str) -> bytes | None:
        """What is kept under an id; None if there is nothing, or it has expired."""
        if not _ID.fullmatch(state_id):
            return None
        live = (SavedState.id_sha256 == digest_of(state_id), SavedState.expires_at > self._database.now())
        with self._database.read() as session:
            return session.scalar(select(SavedState.content).where(*live))
