"""Usage: how much each key asked for, in one row per key, model, action and day."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal, get_args

from sqlalchemy import ColumnElement, Insert, func, select
from sqlalchemy.dialects import postgresql, sqlite

from esmkit.store.database import Database
from esmkit.store.tables import DailyUsage

Group = Literal["key", "model", "action", "day"]
GROUPS: tuple[Group, ...] = get_args(Group)


@dataclass(frozen=True, slots=True)
class UsageRow:
    """What one key used of one model and action on one day in UTC; `key_id` None stands for requests without a key."""

    key_id: str | None
    model: str
    action: str
    day: date
    requests: int
    residues: int
    seconds: float

    def __post_init__(self) -> None:
        if self.requests < 0 or self.residues < 0 or not 0 <= self.seconds < math.inf:
            raise ValueError(f"usage is counted in finite numbers from 0 up, not {self}")


@dataclass(frozen=True, slots=True)
class UsageTotal:
    """A sum over all usage that has `value` in common: a key id (None: without a key), a model, an action or a day."""

    value: str | None
    requests: int
    residues: int
    seconds: float


class Usage:
    """The usage in a store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, rows: Iterable[UsageRow]) -> None:
        """Adds to what is already there, all of it or nothing; many threads and processes may do so at once."""
        sums: dict[tuple[str, str, str, date], tuple[int, int, float]] = {}
        for row in rows:
            key = (row.key_id or "", row.model, row.action, row.day)
            requests, residues, seconds = sums.get(key, (0, 0, 0.0))
            sums[key] = (requests + row.requests, residues + row.residues, seconds + row.seconds)
        if not sums:
            return
        names = ("key_id", "model", "action", "day", "requests", "residues", "seconds")
        # In one order everywhere: writers that lock the same rows in different orders wait for each other for ever.
        values = [dict(zip(names, (*key, *sums[key]), strict=True)) for key in sorted(sums)]
        with self._database.write() as session:
            session.connection().execute(self._insert_or_add(), values)

    def report(
        self, *, key_id: str | None = None, since: date | None = None, until: date | None = None
    ) -> tuple[UsageRow, ...]:
        """Every row from `since` to `until`, both included, by day; of one key, or None for all."""
        table = DailyUsage
        rows = select(table).where(*_period(since, until)).order_by(table.day, table.key_id, table.model, table.action)
        if key_id is not None:
            rows = rows.where(table.key_id == key_id)
        with self._database.read() as session:
            return tuple(
                UsageRow(r.key_id or None, r.model, r.action, r.day, r.requests, r.residues, r.seconds)
                for r in session.scalars(rows)
            )

    def totals(
        self, by: Group, *, key_id: str | None = None, since: date | None = None, until: date | None = None
    ) -> tuple[UsageTotal, ...]:
        """Sums per key, model, action or day from `since` to `until`, both included; days in order, else most first."""
        table = DailyUsage
        column = {"key": table.key_id, "model": table.model, "action": table.action, "day": table.day}[by]
        sums = (func.sum(table.requests), func.sum(table.residues), func.sum(table.seconds))
        order = [column] if by == "day" else [sums[1].desc(), column]
        rows = select(column, *sums).where(*_period(since, until)).group_by(column).order_by(*order)
        if key_id is not None:
            rows = rows.where(table.key_id == key_id)
        with self._database.read() as session:
            # PostgreSQL sums whole numbers to a Decimal.
            return tuple(
                UsageTotal(str(value) or None, int(requests), int(residues), float(seconds))
                for value, requests, residues, seconds in session.execute(rows)
            )

    def _insert_or_add(self) -> Insert:
        """One statement that makes a row or adds to it, so that no writer can come in between."""
        dialect: Any = sqlite if self._database.is_sqlite else postgresql
        insert = dialect.insert(DailyUsage)
        columns = DailyUsage.__table__.columns
        added = {name: columns[name] + insert.excluded[name] for name in ("requests", "residues", "seconds")}
        keys = [column.name for column in columns if column.primary_key]
        statement: Insert = insert.on_conflict_do_update(index_elements=keys, set_=added)
        return statement


def _period(since: date | None, until: date | None) -> list[ColumnElement[bool]]:
    period = []
    if since is not None:
        period.append(DailyUsage.day >= since)
    if until is not None:
        period.append(DailyUsage.day <= until)
    return period
