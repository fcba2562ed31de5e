"""`--ssl-certfile` and `--ssl-keyfile`: real HTTPS, and what is said only there."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import trustme

from tests.server_process import ServedProcess

HSTS = "Strict-Transport-Security"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def server(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedProcess]:
    folder = tmp_path_factory.mktemp("tls")
    certificate = authority.issue_cert("127.0.0.1")
    key, chain = folder / "key.pem", folder / "chain.pem"
    certificate.private_key_pem.write_to_path(key)
    for part in certificate.cert_chain_pems:
        part.write_to_path(chain, append=True)
    with ServedProcess(folder, "--ssl-certfile", str(chain), "--ssl-keyfile", str(key)) as running:
        yield running


@pytest.fixture
def trusting(server: ServedProcess, authority: trustme.CA) -> Iterator[httpx.Client]:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    with httpx.Client(base_url=server.url, verify=context, timeout=60) as client:
        yield client


def test_models_answer_over_https_with_a_certificate_that_holds(trusting: httpx.Client) -> None:
    answer = trusting.post("/api/v3/esm2-mini/encode/", json={"items": [{"sequence": "MKT"}]})
    assert (str(answer.url)[:8], answer.status_code) == ("https://", 200)
    assert answer.headers[HSTS] == "max-age=31536000"
    entry = trusting.get("/api/ui/community-api-models/esm2-mini").text
    assert "https://127.0.0.1" in entry
    assert "http://" not in entry


def test_who_does_not_know_the_authority_is_warned(server: ServedProcess) -> None:
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        httpx.get(server.url, verify=ssl.create_default_context())


def test_plain_http_gets_no_answer_there(server: ServedProcess) -> None:
    with pytest.raises(httpx.TransportError):
        httpx.get(server.url.replace("https", "http"), timeout=60)


def test_old_versions_of_tls_are_refused(server: ServedProcess) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(httpx.ConnectError):
        httpx.get(server.url, verify=context)


def test_plain_http_does_not_promise_https(tmp_path: Path) -> None:
    with ServedProcess(tmp_path, "--lazy") as server, server.client() as client:
        assert HSTS not in client.get("/").headers


@pytest.mark.parametrize("lacking", ["chain.pem", "key.pem"])
def test_a_file_that_is_not_there_is_named(tmp_path: Path, lacking: str) -> None:
    certificate = trustme.CA().issue_cert("127.0.0.1")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "chain.pem")
    (tmp_path / lacking).unlink()
    flags = ("--ssl-certfile", str(tmp_path / "chain.pem"), "--ssl-keyfile", str(tmp_path / "key.pem"))
    with pytest.raises(AssertionError, match=f"{lacking}: No such file"):
        ServedProcess(tmp_path, *flags)


def test_a_key_of_another_certificate_is_refused(tmp_path: Path) -> None:
    one, other = trustme.CA().issue_cert("127.0.0.1"), trustme.CA().issue_cert("127.0.0.1")
    one.private_key_pem.write_to_path(tmp_path / "key.pem")
    other.cert_chain_pems[0].write_to_path(tmp_path / "chain.pem")
    flags = ("--ssl-certfile", str(tmp_path / "chain.pem"), "--ssl-keyfile", str(tmp_path / "key.pem"))
    with pytest.raises(AssertionError, match=r"cannot be used: .*Both must be PEM"):
        ServedProcess(tmp_path, *flags)
