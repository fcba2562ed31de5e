"""API keys: made, found by their secret, changed and revoked. Only hashes of secrets are kept.

A secret is 256 random bits, so a plain SHA-256 is enough: nobody can try a list of likely secrets, which is
what slow password hashes guard against, and every request can afford it. The hash is also what the index looks up.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy import and_, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from esmkit.errors import InvalidConfigError, StoreError
from esmkit.store.database import Database, utc
from esmkit.store.tables import ApiKey, WebSession

PREFIX = "esk_"
MAX_NAME_LENGTH = 100
LAST_USED_STEP = timedelta(minutes=5)
"""How coarse `last_used_at` is: a busy key costs one write in this time, not one per request."""

_SECRET = re.compile(PREFIX + "[A-Za-z0-9_-]{43}")
_log = logging.getLogger(__name__)

KeyState = Literal["live", "expired", "revoked"]


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """A key without its secret; all times in UTC.

    Attributes:
        id: never changes and is never used again; stands in usage and logs.
        name: what people call it; no two live keys have the same.
        models: slugs it may use, in lower case; None for all.
        actions: actions it may call; None for all.
        admin: it may do what an operator may.
        last_used_at: within five minutes; None if never.
    """

    id: str
    name: str
    models: tuple[str, ...] | None
    actions: tuple[str, ...] | None
    admin: bool
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None

    def allows(self, *, model: str, action: str) -> bool:
        """Whether its scopes cover an action of a model, in upper or lower case; says nothing of expiry."""
        return all(
            allowed is None or asked.lower() in allowed
            for allowed, asked in ((self.models, model), (self.actions, action))
        )

    def state(self, now: datetime) -> KeyState:
        """Whether it works at a time."""
        if self.revoked_at is not None and (self.expires_at is None or self.revoked_at < self.expires_at):
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= now else "live"


class Keys:
    """The keys of a store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(
        self,
        name: str,
        *,
        models: Iterable[str] | None = None,
        actions: Iterable[str] | None = None,
        expires_at: datetime | None = None,
        admin: bool = False,
    ) -> tuple[KeyInfo, str]:
        """A new key and its secret, which cannot be had again.

        Args:
            name: 1 to 100 printable characters; no live key may have it.
            models: slugs it may use; None for all.
            actions: actions it may call; None for all.
            expires_at: when it stops to work; None for never.
            admin: it may do what an operator may.

        Raises:
            InvalidConfigError: the name is taken or unusable, a scope is empty, or the expiry has passed.
        """
        now = self._database.now()
        expires_at = utc(expires_at, setting="expires_at") if expires_at else None
        if expires_at and expires_at <= now:
            raise InvalidConfigError(
                f"the key would expire at {expires_at:%Y-%m-%d %H:%M} UTC, which has passed", setting="expires_at"
            )
        secret = PREFIX + secrets.token_urlsafe(32)
        row = ApiKey(
            id=f"key_{secrets.token_hex(6)}",
            name=_checked_name(name),
            secret_sha256=digest_of(secret),
            models=_scope(models, setting="models"),
            actions=_scope(actions, setting="actions"),
            admin=admin,
            created_at=now,
            expires_at=expires_at,
        )
        taken = and_(ApiKey.name == name, ApiKey.revoked_at.is_(None))
        with self._database.write() as session:
            # An expired key gives its name free.
            session.execute(update(ApiKey).where(taken, ApiKey.expires_at <= now).values(revoked_at=now))
            session.add(row)
            try:
                session.flush()
            except IntegrityError:
                raise InvalidConfigError(
                    f"there is a key named {name!r}. Choose another name, or rotate or revoke that key", setting="name"
                ) from None
            return info_of(row), secret

    def find(self, secret: str) -> KeyInfo | None:
        """The key that has this secret; None if there is none, or it was revoked or has expired."""
        if not _SECRET.fullmatch(secret):
            return None
        digest, now = digest_of(secret), self._database.now()
        previous = and_(ApiKey.previous_sha256 == digest, ApiKey.previous_until > now)
        with self._database.read() as session:
            row = session.scalar(select(ApiKey).where(or_(ApiKey.secret_sha256 == digest, previous)))
            if row is None or not _has(row, digest):
                return None
            key = info_of(row)
        return self.used(key, now)

    def used(self, key: KeyInfo, now: datetime) -> KeyInfo | None:
        """Notes that a key was used, and gives it back; None if it was revoked or has expired."""
        if key.state(now) != "live":
            return None
        if key.last_used_at is None or key.last_used_at <= now - LAST_USED_STEP:
            self._note_use(key, now)
        return key

    def list(self) -> tuple[KeyInfo, ...]:
        """Every key there ever was, by name, then age."""
        with self._database.read() as session:
            return tuple(
                info_of(row) for row in session.scalars(select(ApiKey).order_by(ApiKey.name, ApiKey.created_at))
            )

    def get(self, name_or_id: str) -> KeyInfo:
        """One key: by id, or by name if it is not revoked.

        Raises:
            InvalidConfigError: there is none.
        """
        with self._database.read() as session:
            return info_of(_named(session, name_or_id))

    def revoke(self, name_or_id: str) -> KeyInfo:
        """Makes a key useless at once and for good; its usage stays.

        Raises:
            InvalidConfigError: there is no such key, or it was revoked before.
        """
        with self._database.write() as session:
            row = _unrevoked(session, name_or_id)
            row.revoked_at = self._database.now()
            return info_of(row)

    def rotate(self, name_or_id: str, *, grace: timedelta = timedelta(0)) -> str:
        """A new secret for a key; everything else stays.

        Args:
            name_or_id: which key.
            grace: how long the secret it has now still works; by default not at all. A secret from an earlier rotation
                stops at once. Sessions of the web app that were begun before end when the old secret does.

        Raises:
            InvalidConfigError: there is no such key, it was revoked or has expired, or the grace is negative.
        """
        if grace < timedelta(0):
            raise InvalidConfigError(
                "the old secret cannot work for less than no time; give a grace of 0 or more", setting="grace"
            )
        secret, now = PREFIX + secrets.token_urlsafe(32), self._database.now()
        with self._database.write() as session:
            row = _unrevoked(session, name_or_id)
            if info_of(row).state(now) == "expired":
                raise InvalidConfigError(f"the key {row.name!r} has expired; create a new one", setting="name")
            keep = grace > timedelta(0)
            row.previous_sha256 = row.secret_sha256 if keep else None
            row.previous_until = now + grace if keep else None
            row.secret_sha256 = digest_of(secret)
            longer = and_(WebSession.key_id == row.id, WebSession.expires_at > now + grace)
            session.execute(update(WebSession).where(longer).values(expires_at=now + grace))
        return secret

    def _note_use(self, key: KeyInfo, now: datetime) -> None:
        """Writes down that a key was used; if that fails, the request it came with need not."""
        stale = or_(ApiKey.last_used_at.is_(None), ApiKey.last_used_at <= now - LAST_USED_STEP)
        try:
            with self._database.write() as session:
                session.execute(update(ApiKey).where(ApiKey.id == key.id, stale).values(last_used_at=now))
        except StoreError as error:
            _log.warning("last use of key %s not noted: %s", key.id, error.message)


def _named(session: Session, name_or_id: str) -> ApiKey:
    row = session.get(ApiKey, name_or_id)
    if row is None:
        row = session.scalar(select(ApiKey).where(ApiKey.name == name_or_id, ApiKey.revoked_at.is_(None)))
    if row is None:
        raise InvalidConfigError(f"there is no key {name_or_id!r}; see 'esmkit keys list'", setting="name")
    return row


def _unrevoked(session: Session, name_or_id: str) -> ApiKey:
    row = _named(session, name_or_id)
    session.refresh(row, with_for_update=True)
    if row.revoked_at is not None:
        raise InvalidConfigError(
            f"the key {row.name!r} ({row.id}) was revoked on {row.revoked_at:%Y-%m-%d}; create a new one",
            setting="name",
        )
    return row


def info_of(row: ApiKey) -> KeyInfo:
    """A row as others see it."""
    return KeyInfo(
        id=row.id,
        name=row.name,
        models=None if row.models is None else tuple(row.models),
        actions=None if row.actions is None else tuple(row.actions),
        admin=row.admin,
        created_at=row.created_at,
        expires_at=row.expires_at,
        last_used_at=row.last_used_at,
        revoked_at=row.revoked_at,
    )


def _has(row: ApiKey, digest: str) -> bool:
    """Compares in constant time, whatever the database's own comparison told by its speed."""
    current = hmac.compare_digest(row.secret_sha256, digest)
    previous = hmac.compare_digest(row.previous_sha256 or "", digest)
    return current or previous


def digest_of(secret: str) -> str:
    """What is stored of a secret: its SHA-256, in hexadecimal digits."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _checked_name(name: str) -> str:
    if not name.isprintable() or name != name.strip() or not 1 <= len(name) <= MAX_NAME_LENGTH:
        raise InvalidConfigError(
            f"{name[: MAX_NAME_LENGTH + 1]!r} cannot be the name of a key: it takes 1 to {MAX_NAME_LENGTH} printable "
            "characters, without spaces at the ends",
            setting="name",
        )
    return name


def _scope(names: Iterable[str] | None, *, setting: str) -> list[str] | None:
    if names is None:
        return None
    known = sorted({name.strip().lower() for name in names} - {""})
    if not known:
        raise InvalidConfigError(f"the key allows no {setting}; name some, or leave it out for all", setting=setting)
    return known
