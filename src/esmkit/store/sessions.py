"""Sessions of the web app: who showed a key once is known by a cookie until it ends. Only hashes are kept."""

from __future__ import annotations

import re
import secrets

from sqlalchemy import delete, select

from esmkit.store.database import Database
from esmkit.store.keys import KeyInfo, Keys, digest_of, info_of
from esmkit.store.tables import ApiKey, WebSession

PREFIX = "ess_"
MAX_PER_KEY = 100
"""Sessions of one key at a time; the oldest ends when one more begins."""

_SECRET = re.compile(PREFIX + "[A-Za-z0-9_-]{43}")


class Sessions:
    """The sessions in a store."""

    def __init__(self, database: Database, keys: Keys) -> None:
        self._database, self._keys = database, keys

    def create(self, key_id: str, lifetime_s: float) -> str:
        """A new session of a key; also drops those that have expired.

        Args:
            key_id: `KeyInfo.id` of a key that was found by its secret.
            lifetime_s: how long it lasts, if its key does.

        Returns:
            The secret of the session, which cannot be had again.

        Raises:
            InvalidConfigError: the lifetime is not more than 0, or longer than a year.
            StoreError: there is no such key, or the database cannot be written.
        """
        secret, now = PREFIX + secrets.token_urlsafe(32), self._database.now()
        row = WebSession(
            secret_sha256=digest_of(secret), key_id=key_id, created_at=now, expires_at=self._database.after(lifetime_s)
        )
        of_key = select(WebSession.secret_sha256).where(WebSession.key_id == key_id)
        surplus = of_key.order_by(WebSession.created_at.desc()).offset(MAX_PER_KEY - 1)
        with self._database.write() as session:
            session.execute(delete(WebSession).where(WebSession.expires_at <= now))
            session.execute(delete(WebSession).where(WebSession.secret_sha256.in_(surplus)))
            session.add(row)
        return secret

    def find(self, secret: str) -> KeyInfo | None:
        """The key whose session this is; None if it has ended or expired, or its key was revoked or has expired."""
        if not _SECRET.fullmatch(secret):
            return None
        now = self._database.now()
        live = (WebSession.secret_sha256 == digest_of(secret), WebSession.expires_at > now)
        with self._database.read() as session:
            row = session.scalar(select(ApiKey).join(WebSession, WebSession.key_id == ApiKey.id).where(*live))
            key = None if row is None else info_of(row)
        return None if key is None else self._keys.used(key, now)

    def end(self, secret: str) -> None:
        """Ends a session; nothing happens if there is none."""
        with self._database.write() as session:
            session.execute(delete(WebSession).where(WebSession.secret_sha256 == digest_of(secret)))
