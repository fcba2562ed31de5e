"""`esmkit keys`, `esmkit usage` and `esmkit incident`, as they are typed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
import typer

from esmkit import cli
from esmkit.cli import incident, keys, usage
from esmkit.store import Store, UsageRow
from tests.cli_calls import Esmkit, Outcome, in_process
from tests.store_databases import empty_postgres

SECRET = re.compile(r"esk_[A-Za-z0-9_-]{43}")


@pytest.fixture
def esmkit(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], home: Path) -> Esmkit:
    app = typer.Typer(pretty_exceptions_enable=False)
    app.add_typer(keys.app, name="keys")
    app.add_typer(incident.app, name="incident")
    usage.register(app)
    monkeypatch.setattr(cli, "app", app)
    return in_process(monkeypatch, capsys)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ESMKIT_HOME", str(tmp_path))
    monkeypatch.delenv("ESMKIT_DATABASE_URL", raising=False)
    return tmp_path


@pytest.fixture
def store(home: Path) -> Iterator[Store]:
    opened = Store.open(f"sqlite:///{home / 'esmkit.db'}")
    yield opened
    opened.close()


def lines_fit(outcome: Outcome) -> bool:
    return all(len(line) <= 80 for line in outcome.out.splitlines())


def test_the_secret_stands_alone_on_stdout_and_works(esmkit: Esmkit, store: Store) -> None:
    made = esmkit("keys", "create", "laboratory", "-m", "esm2-8m", "-m", "esm2-35m", "-a", "encode", "--expires", "90d")
    assert made.code == 0
    assert SECRET.fullmatch(made.out.strip())
    found = store.keys.find(made.out.strip())
    assert found is not None
    assert (found.name, found.models, found.actions, found.admin) == (
        "laboratory",
        ("esm2-35m", "esm2-8m"),
        ("encode",),
        False,
    )
    assert found.expires_at is not None
    assert timedelta(days=90) - (found.expires_at - datetime.now(UTC)) < timedelta(minutes=5)
    assert f"made key laboratory ({found.id}) for esm2-35m, esm2-8m, encode, until 20" in made.err
    assert "the key is shown only now" in made.err


def test_a_key_may_do_everything_for_ever_unless_told(esmkit: Esmkit) -> None:
    made = esmkit("keys", "create", "laboratory")
    assert "for all models, all actions, without end" in made.err


def test_the_list_shows_every_live_key_and_no_secret(esmkit: Esmkit, store: Store) -> None:
    long = "a laboratory with a name that is longer than any column"
    _, secret = store.keys.create(long, models=["esm2-8m"], admin=True)
    store.keys.create("[red]mark[/red] up")
    store.keys.create("gone")
    store.keys.revoke("gone")
    listed = esmkit("keys", "list")
    assert listed.code == 0
    assert lines_fit(listed)
    for word in ("esm2-8m: all actions", "live admin", "[red]mark[/red] up", "never"):
        assert word in listed.out
    rows = listed.out.splitlines()[2:]
    assert " ".join(row[:24].strip() for row in rows).strip() == long
    assert "gone" not in listed.out
    assert secret not in listed.out
    every = esmkit("keys", "list", "--all")
    assert "gone" in every.out
    assert "revoked" in every.out


def test_an_empty_list_says_where_it_looked_and_how_to_make_a_key(esmkit: Esmkit, home: Path) -> None:
    assert esmkit("keys", "list") == Outcome(
        0,
        "",
        f"esmkit: there are no keys in the database {home}/esmkit.db; make one with: esmkit keys create NAME\n",
    )
    assert json.loads(esmkit("keys", "list", "--json").out) == []


@pytest.mark.parametrize("how", ["--config", "ESMKIT_CONFIG", "ESMKIT_DATABASE_URL_FILE"])
def test_the_commands_find_the_database_that_the_server_finds(
    esmkit: Esmkit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    url = f"sqlite:///{tmp_path}/of-the-server.db"
    (tmp_path / "esmkit.toml").write_text(f'database_url = "{url}"\n')
    (tmp_path / "url").write_text(f"{url}\n")
    arguments = ("--config", tmp_path / "esmkit.toml") if how == "--config" else ()
    if how != "--config":
        monkeypatch.setenv(how, str(tmp_path / ("esmkit.toml" if how == "ESMKIT_CONFIG" else "url")))
    made = esmkit("keys", "create", "laboratory", *arguments)
    assert f"the database {tmp_path}/of-the-server.db has no more than its hash" in made.err
    opened = esmkit("incident", "open", "Slow", *arguments)
    assert (made.code, opened.code, esmkit("usage", *arguments).code) == (0, 0, 0)
    store = Store.open(url)
    assert [key.name for key in store.keys.list()] == ["laboratory"]
    assert [each.title for each in store.incidents.list()] == ["Slow"]
    store.close()
    assert not (tmp_path / "esmkit.db").exists()


def test_json_says_the_same_as_the_table(esmkit: Esmkit) -> None:
    made = json.loads(esmkit("keys", "create", "laboratory", "--json").out)
    secret = made.pop("secret")
    assert SECRET.fullmatch(secret)
    assert [made] == json.loads(esmkit("keys", "list", "--json").out)
    assert (made["name"], made["models"], made["state"], made["expires_at"]) == ("laboratory", None, "live", None)
    assert datetime.fromisoformat(made["created_at"]).utcoffset() == timedelta(0)
    rotated = json.loads(esmkit("keys", "rotate", "laboratory", "--json").out)
    assert rotated.pop("secret") != secret
    assert rotated == made
    assert json.loads(esmkit("keys", "revoke", "laboratory", "--json").out)["state"] == "revoked"


def test_rotate_prints_the_new_secret_and_what_becomes_of_the_old(esmkit: Esmkit, store: Store) -> None:
    _, first = store.keys.create("laboratory")
    second = esmkit("keys", "rotate", "laboratory", "--grace", "24h")
    assert "the old one works for another 24h" in second.err
    assert store.keys.find(first) is not None
    third = esmkit("keys", "rotate", "laboratory")
    assert "the old one is dead" in third.err
    found = [store.keys.find(secret) is not None for secret in (first, second.out.strip(), third.out.strip())]
    assert found == [False, False, True]


def test_a_revoked_key_is_dead_and_cannot_be_named_any_more(esmkit: Esmkit, store: Store) -> None:
    key, secret = store.keys.create("laboratory")
    assert esmkit("keys", "revoke", "laboratory").err == f"esmkit: revoked key laboratory ({key.id})\n"
    assert store.keys.find(secret) is None
    again = esmkit("keys", "revoke", "laboratory")
    assert again == Outcome(2, "", "esmkit: error: there is no key 'laboratory'; see 'esmkit keys list'\n")


@pytest.mark.parametrize("wrong", ["90", "d", "-1d", "0x10d", "1.5h", "99999999w"])
def test_a_duration_that_is_none_is_refused(esmkit: Esmkit, store: Store, wrong: str) -> None:
    refused = esmkit("keys", "create", "laboratory", f"--expires={wrong}")
    assert refused.code == 2
    assert f"--expires '{wrong}' is no duration; write a number and m, h, d or w, such as 90d" in refused.err
    assert store.keys.list() == ()


@pytest.fixture
def used(store: Store) -> date:
    today = datetime.now(UTC).date()
    key, _ = store.keys.create("laboratory")
    store.usage.add(
        [
            UsageRow(key.id, "esm2-8m", "encode", today, 1200, 345_678, 12.34),
            UsageRow(key.id, "esm2-35m", "predict", today - timedelta(days=3), 1, 100, 0.5),
            UsageRow(None, "esm2-8m", "encode", today - timedelta(days=3), 2, 200, 1.0),
            UsageRow(None, "esm2-8m", "encode", today - timedelta(days=400), 5, 500, 2.0),
        ]
    )
    return today


def test_usage_by_key_names_the_keys_and_adds_up(esmkit: Esmkit, used: date) -> None:
    shown = esmkit("usage")
    assert shown.code == 0
    assert lines_fit(shown)
    assert [line.split() for line in shown.out.splitlines()] == [
        ["usage", "from", str(used - timedelta(days=30)), "to", str(used)],
        ["key", "requests", "residues", "seconds"],
        ["laboratory", "1,201", "345,778", "12.8"],
        ["(no", "key)", "2", "200", "1.0"],
        ["all", "1,203", "345,978", "13.8"],
    ]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--by", "model"), {"esm2-8m": 1202, "esm2-35m": 1}),
        (("--by", "action"), {"encode": 1202, "predict": 1}),
        (("--by", "day", "--since", "1d"), {"0": 1200}),
        (("--by", "day", "--since", "4d", "--until", "1d"), {"3": 3}),
        (("--by", "model", "--key", "laboratory"), {"esm2-8m": 1200, "esm2-35m": 1}),
        (("--by", "action", "--since", "2020-01-01"), {"encode": 1207, "predict": 1}),
    ],
)
def test_usage_as_json_by_each_column_and_period(
    esmkit: Esmkit, used: date, arguments: tuple[str, ...], expected: dict[str, int]
) -> None:
    found = json.loads(esmkit("usage", *arguments, "--json").out)
    by = arguments[1]
    if by == "day":
        expected = {str(used - timedelta(days=int(back))): count for back, count in expected.items()}
    assert found["by"] == by
    assert {row[by]: row["requests"] for row in found["rows"]} == expected


def test_usage_as_json_by_key_holds_id_and_name(esmkit: Esmkit, used: date, store: Store) -> None:
    found = json.loads(esmkit("usage", "--json").out)
    assert [(row["key_id"], row["key"]) for row in found["rows"]] == [
        (store.keys.get("laboratory").id, "laboratory"),
        (None, None),
    ]
    assert (found["since"], found["until"]) == (str(used - timedelta(days=30)), str(used))


def test_no_usage_is_said_and_no_error(esmkit: Esmkit) -> None:
    shown = esmkit("usage", "--since", "2026-03-01", "--until", "2026-03-31")
    assert shown == Outcome(0, "", "esmkit: no usage from 2026-03-01 to 2026-03-31\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--since", "yesterday"), "--since 'yesterday' is no day; write one such as 2026-11-22, or how long ago"),
        (("--until", "2026-02-30"), "--until 2026-02-30 is no day: day"),
        (("--since", "2026-03-02", "--until", "2026-03-01"), "--since 2026-03-02 is after --until 2026-03-01"),
        (("--key", "nobody"), "there is no key 'nobody'"),
    ],
)
def test_usage_of_an_impossible_period_or_key_is_refused(
    esmkit: Esmkit, arguments: tuple[str, ...], message: str
) -> None:
    refused = esmkit("usage", *arguments)
    assert refused.code == 2
    assert message in refused.err


def test_an_incident_is_opened_updated_closed_and_listed(esmkit: Esmkit) -> None:
    assert esmkit("incident", "open", "Slow [bold]answers[/bold]", "--impact", "major", "-m", "esm2-8m").out == (
        "opened incident 1: Slow [bold]answers[/bold]\n"
    )
    long = "We look into it, and tell you more as soon as we know it, which may be tomorrow at noon. " * 2
    assert esmkit("incident", "update", 1, long).code == 0
    assert esmkit("incident", "list").out.splitlines()[1].endswith("to now, open")
    assert esmkit("incident", "close", 1, "--message", "Repaired.").out.startswith("closed incident 1: Slow")
    listed = esmkit("incident", "list")
    assert lines_fit(listed)
    assert listed.out.startswith("1  Slow [bold]answers[/bold]\n   major, esm2-8m, 20")
    assert listed.out.index("tomorrow at noon") < listed.out.index("Repaired.")
    assert "open" not in listed.out
    (found,) = json.loads(esmkit("incident", "list", "--json").out)
    assert (found["id"], found["impact"], found["models"]) == (1, "major", ["esm2-8m"])
    assert [message["text"] for message in found["messages"]] == [long.strip(), "Repaired."]


def test_an_incident_that_is_not_there_cannot_be_closed(esmkit: Esmkit) -> None:
    assert esmkit("incident", "list").err == "esmkit: there are no incidents\n"
    closed = esmkit("incident", "close", 7)
    assert closed == Outcome(2, "", "esmkit: error: there is no incident 7; see 'esmkit incident list'\n")


def test_the_commands_use_the_database_of_the_environment(
    esmkit: Esmkit, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ESMKIT_DATABASE_URL", empty_postgres())
    made = esmkit("keys", "create", "laboratory")
    assert SECRET.fullmatch(made.out.strip())
    assert "laboratory" in esmkit("keys", "list").out
    assert list(home.iterdir()) == []


def test_a_broken_database_is_one_line_on_stderr(esmkit: Esmkit, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "esmkit.db").write_text("no database at all, " * 100)
    failed = esmkit("keys", "list")
    assert (failed.code, failed.out) == (4, "")
    assert re.fullmatch(
        r"esmkit: error: the database .*esmkit\.db is no SQLite database, or is damaged; .*\n", failed.err
    )
    monkeypatch.setenv("ESMKIT_DATABASE_URL", "postgres://me:hunter2@host:port/db")
    refused = esmkit("keys", "list")
    assert refused.code == 2
    assert "ESMKIT_DATABASE_URL is no database URL" in refused.err
    assert "hunter2" not in refused.err
