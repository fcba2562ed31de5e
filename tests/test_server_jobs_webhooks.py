"""Webhooks of batch jobs: signed, to hosts on the operator's list, and nowhere else."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import httpx
import pytest

from esmkit.engine import Model, load
from esmkit.server.jobs import webhooks, worker
from esmkit.server.jobs.webhooks import AllowedHosts
from tests.jobs_stand_in import JOBS, JobsApi, ended, made, submit, until
from tests.server_stand_in import SLUG


@pytest.fixture(scope="module")
def model() -> Model:
    return load(SLUG)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "POLL_S", 0.05)
    monkeypatch.setattr(webhooks, "POLL_S", 0.05)
    monkeypatch.setattr(webhooks, "FIRST_RETRY_S", 0.01)
    monkeypatch.setattr(webhooks, "MAX_TRIES", 3)


class Receiver:
    """A web server that notes what it gets and answers as it is told.

    Attributes:
        requests: head and body of each.
        statuses: of its answers; the last one stays.
        url: where it is, by name.
    """

    def __init__(self, *statuses: int) -> None:
        self.requests: list[tuple[str, bytes]] = []
        self.statuses = list(statuses)
        self.url = ""

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        self.url = f"http://localhost:{server.sockets[0].getsockname()[1]}/hook?from=esmkit"
        async with server:
            yield

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        size = next(int(line[15:]) for line in head.split("\r\n") if line.lower().startswith("content-length:"))
        self.requests.append((head, await reader.readexactly(size)))
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        writer.write(f"HTTP/1.1 {status} X\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n".encode())
        await writer.drain()
        writer.close()


def told(model: Model, folder: Path, receiver: Receiver, *hosts: str, state: str) -> tuple[dict[str, Any], str]:
    """The page of a job once its webhook is in a state, and the secret that came with the job."""
    with JobsApi(model, folder, webhook_hosts=hosts) as api:

        async def act(client: httpx.AsyncClient) -> tuple[dict[str, Any], str]:
            async with receiver.running():
                job = await made(client, webhook=receiver.url)

                async def page() -> dict[str, Any] | None:
                    found: dict[str, Any] = (await client.get(f"{JOBS}/{job['id']}")).json()
                    return found if found["webhook"]["state"] == state else None

                return await until(page), job["webhook_secret"]

        result: tuple[dict[str, Any], str] = api.during(act)
        return result


def test_whoever_is_told_can_check_who_says_it(model: Model, tmp_path: Path) -> None:
    receiver = Receiver(204)
    page, secret = told(model, tmp_path, receiver, "localhost", "127.0.0.0/8", "::1", state="delivered")
    [(head, body)] = receiver.requests
    lines = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
    headers = {name.lower(): value for name, value in lines.items()}
    assert head.startswith("POST /hook?from=esmkit HTTP/1.1")
    assert headers["host"].startswith("localhost:")
    sent = json.loads(body)
    assert (sent["type"], sent["job"]["id"], sent["job"]["state"]) == ("job.ended", page["id"], "done")
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    digest = hmac.new(base64.b64decode(secret.removeprefix("whsec_")), signed, hashlib.sha256).digest()
    assert headers["webhook-signature"] == f"v1,{base64.b64encode(digest).decode()}"
    assert page["webhook"]["tries"] == 1


def test_a_webhook_is_tried_again_and_redirects_are_not_followed(model: Model, tmp_path: Path) -> None:
    receiver = Receiver(500, 302, 200)
    page, _ = told(model, tmp_path, receiver, "localhost", "127.0.0.1", "::1", state="delivered")
    assert page["webhook"]["tries"] == len(receiver.requests) == 3
    assert {head.split(" ")[1] for head, _ in receiver.requests} == {"/hook?from=esmkit"}
    assert (
        len({next(line for line in head.split("\r\n") if "webhook-id" in line) for head, _ in receiver.requests}) == 1
    )


def test_a_name_that_leads_to_a_private_address_is_not_called_unless_that_is_listed(
    model: Model, tmp_path: Path
) -> None:
    receiver = Receiver(200)
    page, _ = told(model, tmp_path, receiver, "localhost", state="failed")
    assert receiver.requests == []
    assert (page["state"], page["webhook"]["tries"]) == ("done", 3)


REFUSED = [
    *("https://x.example.evil.org/", "https://evil.org/x.example", "https://x.example@evil.org/"),
    *("https://evil.org\\@x.example/", "ftp://x.example/", "//x.example/", "https:///", "https://x.example:99999/"),
    *(
        "http://10.0.0.1/",
        "http://169.254.169.254/latest",
        "http://[::1]/",
        "http://0x7f000001/",
        "https://é.example/",
    ),
]


def test_an_address_that_is_not_on_the_list_is_refused_with_the_job(model: Model, tmp_path: Path) -> None:
    with JobsApi(model, tmp_path, webhook_hosts=("x.example", "192.168.7.0/24")) as api:

        async def act(client: httpx.AsyncClient) -> None:
            for url in REFUSED:
                answer = await submit(client, webhook=url)
                assert (answer.status_code, "webhook" in answer.text) == (400, True), url

        api.during(act)


def test_no_host_may_be_called_unless_the_operator_names_it(model: Model, tmp_path: Path) -> None:
    with JobsApi(model, tmp_path) as api:

        async def act(client: httpx.AsyncClient) -> None:
            answer = await submit(client, webhook="https://x.example/")
            assert (answer.status_code, "the operator has named no webhook_hosts" in answer.text) == (400, True)
            assert (await ended(client, await made(client)))["webhook"] is None

        api.during(act)


@pytest.mark.parametrize(
    ("address", "is_taken"),
    [
        *(("93.184.215.14", True), ("2606:2800:21f:cb07:6820:80da:af6b:8b2c", True), ("192.168.7.9", True)),
        *(("192.168.8.9", False), ("10.0.0.1", False), ("127.0.0.1", False), ("169.254.169.254", False)),
        *(("100.64.0.1", False), ("0.0.0.0", False), ("224.0.0.1", False), ("::1", False), ("fe80::1", False)),
        *(("fd00::1", False), ("::ffff:127.0.0.1", False), ("::ffff:192.168.7.9", True), ("64:ff9b::7f00:1", False)),
        *(("2002:7f00:1::", False), ("ff02::1", False), ("::", False)),
    ],
)
def test_addresses_are_public_or_named(address: str, is_taken: bool) -> None:
    assert AllowedHosts(("x.example", "192.168.7.0/24")).takes(ip_address(address)) is is_taken
