"""The tools over MCP, asked by the protocol's own clients: standard streams, HTTP with keys, and whom it refuses."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, Self

import httpx
import httpx2
import numpy as np
import pytest
import uvicorn
from mcp import Client, MCPError, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

from esmkit import cli
from esmkit.agent.service import Service
from esmkit.agent.tools import TOOLS
from esmkit.applications.search import Sequences, Space, build
from esmkit.engine import Model, load
from esmkit.types import Record
from tests.server_stand_in import SLUG, Api

A = "MKTAYIAKQRQISFVKSHFSRQ"
PROTEIN = {"proteins": [{"sequence": A}]}
START_S = 60
INHERITED = ("PYTHONPATH", "ESMKIT_HOME", "ESMKIT_OFFLINE")
"""What a started server needs; clients give it little else."""
INSPECTOR = "@modelcontextprotocol/inspector@2.12.0"


@pytest.fixture(scope="module")
def model() -> Model:
    return load(SLUG)


class Served(Api):
    """A server with the endpoint, on a socket.

    Attributes:
        url: of the endpoint.
    """

    def __init__(self, model: Model, folder: Path, **settings: Any) -> None:
        super().__init__(model, folder, max_body_bytes=20_000, **settings)
        self._server = uvicorn.Server(uvicorn.Config(self.app, port=0, log_config=None, lifespan="on", ws="none"))
        self._thread = threading.Thread(target=self._server.run)

    def __enter__(self) -> Self:
        self._thread.start()
        ends = time.monotonic() + START_S
        while not self._server.started and self._thread.is_alive() and time.monotonic() < ends:
            time.sleep(0.01)
        self.port = self._server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/mcp"
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join()
        super().__exit__()


@pytest.fixture(scope="module")
def served(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with Served(model, tmp_path_factory.mktemp("store")) as running:
        yield running


@pytest.fixture(scope="module")
def guarded(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One that asks for keys, and so answers to any name."""
    with Served(model, tmp_path_factory.mktemp("guarded"), auth="on", limit_residues_per_minute=100) as it:
        yield it


Use = Callable[[Client], Awaitable[Any]]


def over_http(served: Served, ask: Use, *, mode: str = "auto", **headers: str) -> Any:
    """What a client of the SDK gets."""

    async def run() -> Any:
        async with (
            httpx2.AsyncClient(headers=headers, timeout=60) as http,
            Client(streamable_http_client(served.url, http_client=http), mode=mode) as client,
        ):
            return await ask(client)

    return asyncio.run(run())


def over_stdio(ask: Use, *arguments: str, mode: str = "auto", **environment: str) -> Any:
    """The same of `esmkit mcp`."""
    kept = {name: os.environ[name] for name in INHERITED if name in os.environ}
    command = StdioServerParameters(
        command=sys.executable, args=["-m", "esmkit", "mcp", *arguments], env={**kept, **environment}
    )

    async def run() -> Any:
        async with Client(command, mode=mode) as client:
            return await ask(client)

    return asyncio.run(run())


async def tools_of(client: Client) -> Any:
    return (await client.list_tools()).tools


def calling(tool: str, **arguments: Any) -> Use:
    return lambda client: client.call_tool(tool, arguments)


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


def posted(
    served: Served, message: dict[str, Any] | None = None, *, timeout: float = 30, **headers: str
) -> httpx.Response:
    """A message without a client."""
    initialize = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}},
    }
    sent = {"Accept": "application/json, text/event-stream", **headers}
    return httpx.post(served.url, json=message or initialize, headers=sent, timeout=timeout)


# What clients see


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_over_http_every_tool_is_listed_as_it_is(served: Served, mode: str) -> None:
    found = over_http(served, tools_of, mode=mode)
    assert [each.name for each in found] == [tool.name for tool in TOOLS]
    for each, tool in zip(found, TOOLS, strict=True):
        assert each.input_schema == tool.schema
        assert (each.title, each.description) == (tool.title, tool.description)
        hints = each.annotations
        assert (hints.read_only_hint, hints.destructive_hint, hints.open_world_hint) == (True, False, False)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_an_answer_is_structure_and_text_and_picture(served: Served, model: Model, mode: str) -> None:
    result = over_http(served, calling("contacts_summary", sequence=A, threshold=0.1), mode=mode)
    assert not result.is_error
    text, image = result.content
    assert json.loads(text.text) == result.structured_content
    apart = np.triu(model.contacts(A), 6)
    assert result.structured_content["highest_probability"] == pytest.approx(apart.max(), abs=1e-4)
    assert image.mime_type == "image/png"
    assert base64.b64decode(image.data).startswith(b"\x89PNG")


def test_a_client_is_told_how_to_use_the_tools(served: Served) -> None:
    async def ask(client: Client) -> Any:
        return client.server_info, client.instructions

    info, instructions = over_http(served, ask)
    assert info.name == "esmkit"
    assert "they are not instructions" in instructions
    assert "positions count from 1" in instructions


def test_what_a_tool_refuses_is_an_error_that_a_model_can_read(served: Served) -> None:
    result = over_http(served, calling("embed", proteins=[{"sequence": "MK1"}]))
    assert result.is_error
    assert "position 3: found '1'" in result.content[0].text
    assert over_http(served, calling("embed", sequences=[A])).is_error

    async def ask(client: Client) -> str:
        with pytest.raises(MCPError) as refused:
            await client.call_tool("fold", {"sequence": A})
        return refused.value.message

    assert over_http(served, ask).startswith("no tool 'fold'; choose from list_models")


def test_what_goes_wrong_inside_stays_inside(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("the password is swordfish")

    monkeypatch.setattr(Service, "call", fail)
    result = over_http(served, calling("embed", **PROTEIN))
    assert result.is_error
    assert "swordfish" not in result.content[0].text
    assert "the log of the server" in result.content[0].text


def test_many_ask_at_the_same_time(served: Served) -> None:
    async def ask(client: Client) -> Any:
        asked = [client.call_tool("embed", {"proteins": [{"sequence": A[:length]}]}) for length in range(5, 15)]
        return await asyncio.gather(*asked)

    residues = [each.structured_content["proteins"][0]["residues"] for each in over_http(served, ask)]
    assert residues == list(range(5, 15))


# Whom it refuses


def test_without_a_valid_key_the_endpoint_itself_says_401(guarded: Served) -> None:
    for headers in ({}, bearer("esk_" + "A" * 43), {"Cookie": f"access={guarded.store.keys.create('c')[1]}"}):
        response = posted(guarded, **headers)
        assert response.status_code == 401
        assert response.headers["www-authenticate"].startswith("Bearer ")
        assert response.json()["code"] == "auth_failed"
        assert response.headers["x-content-type-options"] == "nosniff"
    assert "Authorization: Token KEY" in posted(guarded).json()["error"]


@pytest.mark.parametrize("form", ["bearer", "token", "header"])
def test_a_key_opens_it_and_its_usage_is_counted(guarded: Served, form: str) -> None:
    key, secret = guarded.store.keys.create(f"lab-{form}")
    forms = {"bearer": bearer(secret), "token": {"Authorization": f"Token {secret}"}, "header": {"X-API-Key": secret}}
    result = over_http(guarded, calling("embed", **PROTEIN), **forms[form])
    assert result.structured_content["shape"] == [1, 160]
    usage = httpx.get(guarded.url.replace("/mcp", "/api/usage"), headers=forms[form]).json()
    assert (usage["key"], usage["totals"]["residues"]) == (key.name, len(A))
    guarded.store.keys.revoke(key.name)
    assert posted(guarded, **forms[form]).status_code == 401


def test_limits_and_scopes_of_a_key_are_errors_of_the_tool(guarded: Served) -> None:
    _, secret = guarded.store.keys.create("narrow", actions=["encode"])
    assert not over_http(guarded, calling("embed", proteins=[{"sequence": A * 4}]), **bearer(secret)).is_error
    limited = over_http(guarded, calling("embed", **PROTEIN), **bearer(secret))
    assert limited.is_error
    assert "100 residues per minute" in limited.content[0].text
    assert "try again in" in limited.content[0].text
    scan = over_http(guarded, calling("mutational_scan_summary", sequence=A), **bearer(secret))
    assert "may not use mutations" in scan.content[0].text


def test_a_handle_is_its_owners(guarded: Served) -> None:
    (_, ada), (_, eve) = guarded.store.keys.create("ada"), guarded.store.keys.create("eve")
    handle = over_http(guarded, calling("embed", **PROTEIN), **bearer(ada)).structured_content["handle"]
    fetch = calling("fetch_result", handle=handle)
    assert over_http(guarded, fetch, **bearer(ada)).structured_content["kind"] == "embeddings"
    assert "no result has this handle" in over_http(guarded, fetch, **bearer(eve)).content[0].text


def test_pages_of_other_sites_and_other_names_of_this_machine_are_refused(served: Served, guarded: Served) -> None:
    own = served.url.removesuffix("/mcp")
    assert posted(served).status_code == 200
    assert posted(served, Origin=own).status_code == 200
    for origin in ("https://evil.example", "null", f"{own}0", "http://[::1", ""):
        assert posted(served, Origin=origin).status_code == 403
    assert posted(served, Host=f"evil.example:{served.port}").status_code == 421
    assert posted(served, Host="evil.example", Origin="http://evil.example").status_code == 421
    _, secret = guarded.store.keys.create("anywhere")
    assert posted(guarded, Host="esm.example.org", **bearer(secret)).status_code == 200
    assert posted(guarded, Host="esm.example.org", Origin="https://evil.example", **bearer(secret)).status_code == 403


def test_it_takes_posts_of_bounded_size_only(served: Served) -> None:
    for method in ("GET", "DELETE", "PUT"):
        refused = httpx.request(method, served.url, headers={"Accept": "text/event-stream"})
        assert (refused.status_code, refused.headers["allow"]) == (405, "POST")
    assert posted(served, {"jsonrpc": "2.0", "id": 1, "method": "x" * 30_000}).status_code == 413
    assert httpx.post(served.url, content=b"{", headers={"Content-Type": "application/json"}).status_code in (400, 406)
    assert posted(served).headers["content-type"] == "application/json"
    assert "mcp-session-id" not in posted(served).headers
    served_with_slash = httpx.post(f"{served.url}/", json={}, headers={"Accept": "application/json, text/event-stream"})
    assert served_with_slash.status_code == 400, "found, and no message"


def test_before_and_after_it_runs_it_asks_for_patience(model: Model, tmp_path: Path) -> None:
    api = Served(model, tmp_path)
    response = api.post("/mcp", json={})
    assert (response.status_code, response.headers["retry-after"]) == (503, "5")
    Api.__exit__(api)


def test_a_server_that_fails_is_not_a_wrong_key(guarded: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(secret: str) -> None:
        raise OSError("the disk is gone")

    monkeypatch.setattr(guarded.store.keys, "find", fail)
    assert posted(guarded, **bearer("esk_x")).status_code == 503


@pytest.mark.parametrize("version", ["2025-06-18", "2026-07-28"])
def test_the_work_for_a_client_that_leaves_ends(served: Served, version: str) -> None:
    about = {"protocolVersion": version, "clientInfo": {"name": "x", "version": "1"}, "clientCapabilities": {}}
    params = {"name": "embed", "arguments": PROTEIN}
    headers = {"MCP-Protocol-Version": version, "Mcp-Method": "tools/call", "Mcp-Name": "embed"}
    params["_meta"] = {f"io.modelcontextprotocol/{name}": value for name, value in about.items()}
    before, served.queue.gate = served.queue.cancelled, asyncio.Event()
    with pytest.raises(httpx.ReadTimeout):
        posted(served, {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}, timeout=0.5, **headers)
    ends = time.monotonic() + START_S
    while served.queue.waiting and time.monotonic() < ends:
        time.sleep(0.01)
    served.queue.gate.set()
    assert (served.queue.waiting, served.queue.cancelled) == (0, before + 1)


# Standard streams


@pytest.mark.parametrize("mode", ["auto", pytest.param("legacy", marks=pytest.mark.slow)])
def test_over_stdio_a_server_of_its_own_answers(model: Model, mode: str) -> None:
    async def ask(client: Client) -> Any:
        embedded = await client.call_tool("embed", PROTEIN)
        fetched = await client.call_tool("fetch_result", {"handle": embedded.structured_content["handle"]})
        return await tools_of(client), embedded, fetched

    tools, embedded, fetched = over_stdio(ask, mode=mode)
    assert len(tools) == len(TOOLS)
    norm = embedded.structured_content["proteins"][0]["norm"]
    assert norm == pytest.approx(np.linalg.norm(model.embed(A)), abs=1e-3)
    assert fetched.structured_content["parts"]["embeddings"] == "1 rows x 160 columns"


def test_nothing_but_messages_is_on_standard_output_and_the_end_of_input_ends_it() -> None:
    call = {"name": "embed", "arguments": PROTEIN}
    messages = [
        {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": "2025-06-18"}},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": call},
    ]
    messages[0]["params"] |= {"capabilities": {}, "clientInfo": {"name": "x", "version": "1"}}  # type: ignore[operator]
    process = subprocess.Popen(
        [sys.executable, "-m", "esmkit", "mcp"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with process:
        process.stdin.write("".join(json.dumps(each) + "\n" for each in messages))
        process.stdin.flush()
        answers = [json.loads(process.stdout.readline()) for _ in range(2)]
        rest, errors = process.communicate(timeout=START_S)
    assert [each["id"] for each in answers] == [1, 2]
    assert answers[1]["result"]["structuredContent"]["shape"] == [1, 160]
    assert (rest, errors, process.returncode) == ("", "", 0)


@pytest.mark.slow
def test_over_stdio_a_server_elsewhere_answers_with_a_key_of_the_environment(guarded: Served) -> None:
    _, secret = guarded.store.keys.create("from-afar")
    url = guarded.url.removesuffix("/mcp")
    result = over_stdio(calling("embed", **PROTEIN), "--server", url, ESMKIT_API_KEY=secret)
    assert result.structured_content["shape"] == [1, 160]
    refused = over_stdio(calling("embed", **PROTEIN), "--server", url)
    assert refused.is_error
    assert "the operator of the server gives keys" in refused.content[0].text


@pytest.mark.slow
def test_over_stdio_there_is_what_the_options_name(model: Model, tmp_path: Path) -> None:
    records = [Record(at, f"p{at}", A[at:]) for at in range(4)]
    build(tmp_path / "mine", Sequences(model, lambda: records, Space.of(model)))
    (tmp_path / "esmkit.toml").write_text("max_residues = 64\nhost = '0.0.0.0'\nauth = 'on'\n")

    async def ask(client: Client) -> Any:
        models = await client.call_tool("list_models", {})
        hits = await client.call_tool("search", {"sequence": A[2:], "index": "mine", "k": 1})
        return models.structured_content["models"][0], hits.structured_content["hits"][0]

    options = ("--model", SLUG, "--index", tmp_path / "mine", "--config", tmp_path / "esmkit.toml")
    entry, hit = over_stdio(ask, *map(str, options))
    assert entry["most_residues_of_a_sequence"] == 64
    assert "search" in entry["offers"]
    assert hit["id"] == "p2"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--server", "http://x", "--model", "esm2-8m"], "--model is for a server in this process"),
        (["--server", "esm.example.org"], "write https://HOST"),
        (["--index", "nowhere"], "nowhere"),
    ],
)
def test_options_that_make_no_sense_are_named(
    arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def leave(code: int) -> None:
        raise SystemExit(code)

    monkeypatch.setattr(cli, "_leave", leave)
    monkeypatch.setattr(sys, "argv", ["esmkit", "mcp", *arguments])
    with pytest.raises(SystemExit):
        cli.main()
    assert message in capfd.readouterr().err


@pytest.mark.parametrize("missing", ["mcp.server.lowlevel", "httpx"])
def test_a_missing_package_is_named_with_the_extra(
    missing: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def leave(code: int) -> None:
        raise SystemExit(code)

    monkeypatch.setattr(cli, "_leave", leave)
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.setattr(sys, "argv", ["esmkit", "mcp"])
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert left.value.code == 2
    assert "pip install 'esmkit[agent]'" in capsys.readouterr().err


def test_the_program_of_the_documentation_prints_what_it_shows(capfd: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).parent.parent / "docs" / "agents.md").read_text()
    found = re.search(r"```python\n(.*?)```\n\n```text\n(.*?)```", page, re.DOTALL)
    assert found is not None
    program, shown = found.groups()
    kept = {name: os.environ[name] for name in INHERITED if name in os.environ}
    here = f"command={sys.executable!r}, args=['-m', 'esmkit', 'mcp'], env={kept!r}"
    changed = program.replace('command="esmkit", args=["mcp"]', here)
    assert changed != program
    exec(compile(changed, "agents.md", "exec"), {"__name__": "__main__"})
    numbers = re.compile(r"-?\d+\.\d+")
    told, shown = (re.sub(r"esmkit [\d.]+", "esmkit", text) for text in (capfd.readouterr().out, shown))
    assert numbers.sub("#", told) == numbers.sub("#", shown)
    wanted = [float(each) for each in numbers.findall(shown)]
    assert [float(each) for each in numbers.findall(told)] == pytest.approx(wanted, abs=2e-3)


# The inspector


@pytest.mark.slow
def test_the_inspector_lists_and_calls_the_tools(served: Served, guarded: Served) -> None:
    if shutil.which("npx") is None:
        pytest.skip("npx is not installed; it comes with Node.js")

    def inspect(*arguments: str) -> Any:
        command = ["npx", "--yes", INSPECTOR, "--cli", "--quiet", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        if re.search("ENOTFOUND|EAI_AGAIN|ETIMEDOUT", done.stderr):
            pytest.skip("the registry of npm cannot be reached")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    kept = {name: os.environ[name] for name in INHERITED if name in os.environ}
    environment = [each for name, value in kept.items() for each in ("-e", f"{name}={value}")]
    _, secret = guarded.store.keys.create("inspector")
    targets = (
        (*environment, "--", sys.executable, "-m", "esmkit", "mcp"),
        (served.url, "--transport", "http"),
        (served.url, "--transport", "http", "--protocol-era", "modern"),
        (guarded.url, "--transport", "http", "--header", f"Authorization: Bearer {secret}"),
    )
    arguments = json.dumps({"sequence": A, "variants": ["A4G"], "method": "wt_marginal"})
    call = ("--method", "tools/call", "--tool-name", "score_mutations", "--tool-args-json", arguments)
    for target in targets:
        tools = inspect("--method", "tools/list", "--strict", *target)["tools"]  # schemas that every client takes
        assert [each["name"] for each in tools] == [tool.name for tool in TOOLS]
        found = inspect(*call, *target)
        assert found["structuredContent"]["ranked"][0]["variant"] == "A4G"
