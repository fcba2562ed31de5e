"""Hostile clients of a real server process: each gets an error of the contract's shape, soon, in flat memory."""

from __future__ import annotations

import gzip
import json
import re
import socket
import struct
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress

import pytest
import zstandard

from esmkit.server.wire.esm2_docs import ErrorBody
from tests.server_process import JSON, ServedProcess, items, raw_post, until

V1, V3, LEGACY = "/api/v1/esm2-mini/encode", "/api/v3/esm2-mini/encode/", "/api/v1/models/esm2-mini/encode/"
MB = 1_000_000
SOON_S = 10.0
PROTEIN = "MKTAYIAKQRQISFVKSHFSRQ"
pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedProcess]:
    """Short of patience, and of memory for answers."""
    patience = ("--header-timeout-s", "1", "--body-timeout-s", "1", "--write-timeout-s", "2", "--threads", "1")
    folder = tmp_path_factory.mktemp("hostile")
    with ServedProcess(folder, *patience, "--max-answers-bytes", str(40 * MB)) as running, running.client() as client:
        client.post(V3, json=items("MKT"))
        yield running
        assert [line for line in running.log() if "exception" in line] == []


def params(text: str) -> bytes:
    return b'{"items":[{"sequence":"MKT"}],"params":' + text.encode() + b"}"


def sequence(text: bytes) -> bytes:
    return b'{"items":[{"sequence":"' + text + b'"}]}'


DIGITS = "9" * 4000
BAD_BODIES = {
    "nothing": b"",
    "zero bytes": b"\0" * 1000,
    "zero byte in a text": sequence(b"MK\0T"),
    "escaped zero byte": sequence(b"MK\\u0000T"),
    "invalid UTF-8": sequence(b"MK\xff\xfeT"),
    "half a surrogate": sequence(b"MK\\ud800T"),
    "UTF-16": sequence(b"MKT").decode().encode("utf-16"),
    "cut short": sequence(b"MKT")[:-3],
    "something behind": sequence(b"MKT") + b"x",
    "null": b"null",
    "a list": b"[]",
    "a text": json.dumps(PROTEIN * 1000).encode(),
    "a number for a sequence": b'{"items":[{"sequence":123}]}',
    "no items": b'{"items":[]}',
    "10,000 items": json.dumps(items(*["MKT"] * 10_000)).encode(),
    "100,000 residues": sequence((PROTEIN[:10] * 10_000).encode()),
    "100,000 residues in windows": json.dumps(items(PROTEIN[:10] * 10_000, long="window")).encode(),
    "2,000 lower-case residues": sequence((PROTEIN[:20] * 100).lower().encode()),
    "deep lists": b'{"items":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "deep lists in what is unknown": b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b',"items":[{"sequence":"MKT"}]}',
    "deep objects": b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    "a huge number": params(f'{{"repr_layers":[{DIGITS}]}}'),
    "many huge numbers": params(f'{{"repr_layers":[{",".join([DIGITS] * 128)}],"heads":[{DIGITS}]}}'),
    "a number beyond all bounds": params(f'{{"repr_layers":[{DIGITS * 25}]}}'),
    "1e999": params('{"deadline_s":1e999}'),
    "NaN": params('{"deadline_s":NaN}'),
    "NaN for a layer": params('{"repr_layers":[NaN]}'),
    "-Infinity": params('{"deadline_s":-Infinity}'),
    "a sequence for a choice": params(json.dumps({"include": [PROTEIN * 1000], "long": PROTEIN * 1000})),
}


@pytest.mark.parametrize("kind", BAD_BODIES)
def test_a_bad_body_gets_an_error_that_repeats_little(server: ServedProcess, kind: str) -> None:
    body = BAD_BODIES[kind]
    with server.client() as client:
        for path in (V3, V1, LEGACY):
            sent = (
                body.replace(b"items", b"instances").replace(b'{"sequence":', b'{"data":{"text":')
                if path == LEGACY
                else body
            )
            started = time.monotonic()
            answer = client.post(path, content=sent, headers=JSON)
            assert time.monotonic() - started < SOON_S
            assert_error(answer.status_code, answer.content, 400)


def assert_error(status: int, body: bytes, *expected: int) -> None:
    assert status in expected, (status, body[:300])
    error = ErrorBody.model_validate_json(body)
    assert error.status_code == status
    assert len(body) < 60_000
    assert not re.search(rb"[A-Za-z]{65}|[0-9]{401}", body), "a whole sequence or number was repeated"


@pytest.mark.parametrize(
    ("body", "v1", "v3"),
    [
        (b'{"items":[{"sequence":"MKT","x":1}],"y":2,"params":{"z":3}}', 400, 200),
        (b'{"items":[{"sequence":"MKT"}],"' + b"MKT" * 5000 + b'":NaN}', 400, 200),
        (b'{"items":[{"sequence":"bad"}],"items":[{"sequence":"MKT"}]}', 200, 200),
        (b'{"items":[{"sequence":"bad","sequence":"MKT"}]}', 200, 200),
        (b'{"items":[{"sequence":"MKT"}],"items":[{"sequence":"bad"}]}', 400, 400),
    ],
)
def test_unknown_fields_are_strict_in_v1_only_and_the_last_of_two_counts(
    server: ServedProcess, body: bytes, v1: int, v3: int
) -> None:
    with server.client() as client:
        for path, status in ((V1, v1), (V3, v3)):
            answer = client.post(path, content=body, headers=JSON)
            assert answer.status_code == status
            if status == 400:
                assert_error(answer.status_code, answer.content, 400)


BROKEN_HTTP = {
    "TLS": b"\x16\x03\x01\x02\x00",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "no such method": b"FOO / HTTP/1.1\r\nHost: x\r\n\r\n",
    "CONNECT": b"CONNECT elsewhere:443 HTTP/1.1\r\nHost: x\r\n\r\n",
    "bytes in the URL": b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
    "two lengths": raw_post(V3, b"0\r\n\r\n", headers={**JSON, "Transfer-Encoding": "chunked"}),
    "an endless length": raw_post(V3, b"", length=10**30),
    "a negative length": raw_post(V3, b"", length=-1),
    "a bad chunk": raw_post(V3, b"ZZ\r\n", headers={**JSON, "Transfer-Encoding": "chunked"}).replace(
        b"Content-Length: 4\r\n", b""
    ),
}


@pytest.mark.parametrize("kind", BROKEN_HTTP)
def test_broken_http_gets_an_error_and_is_cut_off(server: ServedProcess, kind: str) -> None:
    head, _, body = server.exchange(BROKEN_HTTP[kind]).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert_error(400, body, 400)


UNENDING = {
    "header": b"GET / HTTP/1.1\r\nHost: x\r\nX: ",
    "url": b"GET /",
    "trailer": b"POST /nothing HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nX: ",
}


@pytest.mark.parametrize("part", UNENDING)
def test_what_has_no_end_is_refused_in_flat_memory(server: ServedProcess, part: str) -> None:
    before = server.peak_bytes()
    with server.connect(UNENDING[part]) as connection:
        assert sent_until_refused(connection, b"a" * 65_536, 200 * MB) < 20 * MB
    assert server.peak_bytes() - before < 10 * MB


def sent_until_refused(connection: socket.socket, piece: bytes, at_most: int, *, pause_s: float = 0.0) -> int:
    """Bytes that went out before the server closed the connection."""
    sent = 0
    with suppress(ConnectionError):
        while sent < at_most:
            sent += connection.send(piece)
            time.sleep(pause_s)
    return sent


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_a_bomb_is_refused_in_flat_memory(server: ServedProcess, encoding: str) -> None:
    text = b" " * (400 * MB)
    if encoding == "gzip":
        bomb = gzip.compress(text, 1)
    else:
        window = zstandard.ZstdCompressionParameters(window_log=27, compression_level=3)
        bomb = zstandard.ZstdCompressor(compression_params=window).compress(text)
    before = server.peak_bytes()
    with server.client() as client, ThreadPoolExecutor(4) as pool:
        headers = {**JSON, "Content-Encoding": encoding}
        answers = list(pool.map(lambda _: client.post(V3, content=bomb, headers=headers), range(16)))
    for answer in answers:
        assert_error(answer.status_code, answer.content, 413, 429)
    assert server.peak_bytes() - before < 150 * MB


def test_a_connection_does_not_live_on_a_body_that_nobody_reads(server: ServedProcess) -> None:
    with server.connect(raw_post("/nothing", b"", length=MB)) as connection:
        assert connection.recv(65_536).startswith(b"HTTP/1.1 404")
        assert sent_until_refused(connection, b" ", 100, pause_s=0.1) < 100


def test_clients_that_do_not_read_take_bounded_memory_and_are_dropped(server: ServedProcess) -> None:
    body = json.dumps(items(*[PROTEIN[:20] * 50] * 8, include=["per_token"])).encode()  # an answer of 11 MB
    before, codes = server.resident_bytes(), []
    with ExitStack() as clients:
        for _ in range(16):
            client = clients.enter_context(server.connect(raw_post(V3, body), receive_bytes=4096))
            codes.append(client.recv(12))  # its answer is ready
        assert set(codes) <= {b"HTTP/1.1 200", b"HTTP/1.1 429"}
        assert server.resident_bytes() - before < 80 * MB, "16 answers would take 180 MB"
        until(lambda: server.metrics()["esmkit_http_requests_in_flight"] == 1)
    with server.client() as client:
        assert client.post(V3, json=items("MKT")).status_code == 200


def drop(connection: socket.socket) -> None:
    """Ends a connection without a goodbye."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def test_hundreds_of_clients_that_go_away_leave_nothing_behind(server: ServedProcess) -> None:
    assert_nothing_is_left_by_clients_that_go_away(server, 300)


@pytest.mark.slow
def test_thousands_of_clients_that_go_away_leave_nothing_behind(server: ServedProcess) -> None:
    assert_nothing_is_left_by_clients_that_go_away(server, 6000)


def assert_nothing_is_left_by_clients_that_go_away(server: ServedProcess, number: int) -> None:
    large = raw_post(V3, json.dumps(items(PROTEIN[:20] * 10, include=["per_token"])).encode())  # an answer of 300 kB
    small = raw_post(V3, json.dumps(items(PROTEIN)).encode())
    before, readers = server.resident_bytes(), []
    for turn in range(number):
        match turn % 5:
            case 0:
                drop(server.connect(small[:20]))  # in mid-head
            case 1:
                drop(server.connect(small[:-10]))  # in mid-body
            case 2:
                drop(server.connect(small))  # before the answer
            case 3:
                drop(server.connect(large))
            case _:
                readers.append(server.connect(large, receive_bytes=4096))
    for reader in readers:
        with suppress(ConnectionError):  # dropped already, as it did not read for so long
            reader.recv(1000)
        drop(reader)  # in mid-answer, or of a refusal
    until(lambda: server.metrics()["esmkit_http_requests_in_flight"] == 1)
    until(lambda: server.metrics()['esmkit_queue_requests{model="esm2-mini"}'] == 0)
    assert server.resident_bytes() - before < 60 * MB
    with server.client() as client:
        assert client.post(V3, json=items("MKT")).status_code == 200
        assert client.get("/health/ready").status_code == 200
