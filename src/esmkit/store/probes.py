"""Status probes: did a model answer, and how fast. Two days probe by probe, 90 as one row per model and day."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta

from sqlalchemy import delete, select, text

from esmkit.errors import InvalidConfigError
from esmkit.store.database import Database, utc
from esmkit.store.tables import Probe, ProbeDay

MAX_DAYS = 90
RAW_DAYS = 1
"""Days before today that are kept probe by probe; each costs `uptime` about 5 ms per model."""

_ADVISORY_LOCK = 0x70726F626573  # "probes"


@dataclass(frozen=True, slots=True)
class UptimeDay:
    """One day in UTC of one model; without probes (nothing ran) the share is None, which is neither up nor down.

    Attributes:
        probes: how many there were.
        ok: share of them that succeeded, 0 to 1.
        p50_ms: median latency of those, to two significant digits.
        p95_ms: 95th percentile of them.
    """

    day: date
    probes: int
    ok: float | None
    p50_ms: float | None
    p95_ms: float | None


@dataclass(frozen=True, slots=True)
class ModelUptime:
    """One model over a number of days: each day, oldest first, and all of them together."""

    model: str
    days: tuple[UptimeDay, ...]
    probes: int
    ok: float | None
    p50_ms: float | None
    p95_ms: float | None
    last_at: datetime | None
    last_ok: bool | None


@dataclass(slots=True)
class _Tally:
    """Failed probes, and successful ones by latency in whole or two-digit milliseconds."""

    failed: int = 0
    latencies: Counter[str] = field(default_factory=Counter)

    def add(self, ok: bool, latency_ms: float | None) -> None:
        if ok and latency_ms is not None:
            self.latencies[_rounded(latency_ms)] += 1
        else:
            self.failed += 1

    def merge(self, failed: int, latencies: Mapping[str, int]) -> None:
        self.failed += failed
        self.latencies.update(latencies)

    @property
    def probes(self) -> int:
        return self.failed + self.latencies.total()

    @property
    def ok(self) -> float | None:
        return self.latencies.total() / self.probes if self.probes else None

    def percentile_ms(self, share: float) -> float | None:
        """The smallest latency that at least this share of the successful probes did not exceed."""
        rank, seen = math.ceil(share * self.latencies.total()), 0
        for latency, count in sorted((float(name), count) for name, count in self.latencies.items()):
            seen += count
            if seen >= rank:
                return latency
        return None


_Tallies = dict[tuple[str, date], _Tally]


class Probes:
    """The probes in a store."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._folded_on: date | None = None

    def add(self, model: str, at: datetime, ok: bool, latency_ms: float | None = None) -> None:
        """Writes down one probe; the first one of a day also folds and drops what has become old.

        Args:
            model: slug.
            at: when it was sent.
            ok: whether the answer was right.
            latency_ms: how long it took; needed if `ok`.

        Raises:
            InvalidConfigError: a time without zone, or a success without a finite latency.
        """
        if (ok and latency_ms is None) or not 0 <= (latency_ms or 0) < math.inf:
            raise InvalidConfigError(f"a probe of {model} cannot have taken {latency_ms} ms", setting="latency_ms")
        with self._database.write() as session:
            session.add(Probe(model=model, at=utc(at, setting="at"), ok=ok, latency_ms=latency_ms))
        today = self._database.now().date()
        if self._folded_on != today:
            self.fold()
            self._folded_on = today

    def fold(self) -> None:
        """Turns probes from before yesterday into one row per model and day, and drops days older than 90 days."""
        today = self._database.now().date()
        with self._database.write() as session:
            if not self._database.is_sqlite:  # two servers would each miss what the other adds to a day
                session.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _ADVISORY_LOCK})
            old = delete(Probe).where(Probe.at < _midnight(today - timedelta(days=RAW_DAYS)))
            gone = session.execute(old.returning(Probe.model, Probe.at, Probe.ok, Probe.latency_ms))
            for (model, day), tally in _by_day(gone).items():
                row = session.get(ProbeDay, (model, day))
                if row is not None:
                    tally.merge(row.failed, row.latencies)
                session.merge(ProbeDay(model=model, day=day, failed=tally.failed, latencies=dict(tally.latencies)))
            session.flush()
            session.execute(delete(ProbeDay).where(ProbeDay.day <= today - timedelta(days=MAX_DAYS)))

    def uptime(self, days: int = MAX_DAYS) -> tuple[ModelUptime, ...]:
        """Every model that was probed in the last `days` days including today, by name.

        Raises:
            InvalidConfigError: `days` is not from 1 to 90.
        """
        if not 1 <= days <= MAX_DAYS:
            raise InvalidConfigError(f"uptime is known for 1 to {MAX_DAYS} days, not {days}", setting="days")
        today = self._database.now().date()
        period = [today - timedelta(days=back) for back in reversed(range(days))]
        with self._database.read() as session:
            recent = select(Probe.model, Probe.at, Probe.ok, Probe.latency_ms).where(Probe.at >= _midnight(period[0]))
            probes = session.execute(recent.order_by(Probe.at)).all()
            folded = session.scalars(select(ProbeDay).where(ProbeDay.day >= period[0])).all()
            tallies = _by_day(probes)
            for row in folded:
                tallies[row.model, row.day].merge(row.failed, row.latencies)
        last = {model: (at, ok) for model, at, ok, _ in probes}
        models = sorted({model for model, _ in tallies})
        return tuple(_model_uptime(model, period, tallies, last.get(model, (None, None))) for model in models)


def _by_day(probes: Iterable[tuple[str, datetime, bool, float | None]]) -> _Tallies:
    tallies: _Tallies = defaultdict(_Tally)
    for model, at, ok, latency_ms in probes:
        tallies[model, at.date()].add(ok, latency_ms)
    return tallies


def _model_uptime(
    model: str, period: Iterable[date], tallies: _Tallies, last: tuple[datetime | None, bool | None]
) -> ModelUptime:
    bars, whole = [], _Tally()
    for day in period:
        tally = tallies.get((model, day), _Tally())
        whole.merge(tally.failed, tally.latencies)
        bars.append(UptimeDay(day, tally.probes, tally.ok, tally.percentile_ms(0.5), tally.percentile_ms(0.95)))
    p50_ms, p95_ms = whole.percentile_ms(0.5), whole.percentile_ms(0.95)
    return ModelUptime(model, tuple(bars), whole.probes, whole.ok, p50_ms, p95_ms, *last)


def _rounded(latency_ms: float) -> str:
    """Two significant digits: a day needs few of them, and a percentile moves by 5 % at most."""
    return f"{float(f'{latency_ms:.2g}'):.15g}"


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time.min, UTC)
