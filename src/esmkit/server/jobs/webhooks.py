"""Tells others that a job has ended: signed as standardwebhooks.com says, to hosts on a list, and nowhere else."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import socket
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from esmkit.errors import InvalidConfigError, StoreError
from esmkit.server.answers import dumps
from esmkit.server.jobs.folder import JobsFolder
from esmkit.server.jobs.shown import shown
from esmkit.server.logs import SERVER
from esmkit.store import Job

if TYPE_CHECKING:
    from esmkit.server.services import Services

POLL_S = 2.0
TIMEOUT_S = 10.0
FIRST_RETRY_S = 10.0
MAX_TRIES = 8
"""The last one is about 20 minutes after the first."""
PREFIX = "whsec_"
Address = IPv4Address | IPv6Address
_TRANSLATED = tuple(map(ip_network, ("64:ff9b::/96", "2002::/16", "2001::/32")))
"""Addresses of IPv6 behind which there is one of IPv4, perhaps a private one: NAT64, 6to4, Teredo."""


class _RefusedError(Exception):
    """The URL leads where webhooks may not go."""


@dataclass(frozen=True, slots=True)
class AllowedHosts:
    """Where webhooks may go: to hosts that are named, at public addresses or at addresses that are named too."""

    entries: tuple[str, ...]

    def check(self, url: str) -> SplitResult:
        """The parts of a URL that may be called, as far as its text tells.

        Raises:
            InvalidConfigError: it is no such URL; says what is allowed.
        """
        try:
            parts = urlsplit(url)
            host, _ = parts.hostname, parts.port
        except ValueError:
            host = None
        if host is None or parts.scheme not in ("https", "http") or parts.username is not None or not url.isascii():
            raise InvalidConfigError("webhook is no address; write https://HOST/PATH", setting="webhook")
        if not self._names(host):
            allowed = ", ".join(self.entries) or "none: the operator has named no webhook_hosts"
            raise InvalidConfigError(f"webhooks may not call {host}; allowed are {allowed}", setting="webhook")
        return parts

    def takes(self, address: Address) -> bool:
        """Whether an address that a named host has may be called."""
        plain = getattr(address, "ipv4_mapped", None) or address
        is_public = plain.is_global and not plain.is_multicast and not any(plain in each for each in _TRANSLATED)
        return is_public or self._holds(plain)

    def _names(self, host: str) -> bool:
        if host.lower().rstrip(".") in (entry.lower() for entry in self.entries):
            return True
        with suppress(ValueError):
            return self._holds(ip_address(host))
        return False

    def _holds(self, address: Address) -> bool:
        for entry in self.entries:
            with suppress(ValueError):  # a name
                if address in ip_network(entry, strict=False):
                    return True
        return False


class Webhooks:
    """The webhooks of one server.

    Attributes:
        hosts: that they may call.
    """

    def __init__(self, server: Services, folder: JobsFolder) -> None:
        self._store, self._folder, self._metrics = server.store, folder, server.metrics.jobs.webhooks
        self.hosts = AllowedHosts(server.settings.webhook_hosts)

    def secret(self, key_id: str | None) -> str:
        """What signs the webhooks of all jobs of a key."""
        digest = bytes.fromhex(self._folder.sign(f"webhook {key_id or ''}"))
        return PREFIX + base64.b64encode(digest).decode()

    async def run(self) -> None:
        """Sends until cancelled."""
        while True:
            with suppress(StoreError):  # the worker says when the store is away
                await self.send_due()
            await asyncio.sleep(POLL_S)

    async def send_due(self) -> None:
        """Sends what is due, one after the other."""
        while (job := await asyncio.to_thread(self._store.job_leases.take_webhook)) is not None:
            status = await self._send(job)
            is_last = job.webhook_tries >= MAX_TRIES
            retry_in_s = None if is_last else FIRST_RETRY_S * 2 ** (job.webhook_tries - 1)
            delivered = status is not None and 200 <= status < 300
            self._metrics.labels("delivered" if delivered else "failed").inc()
            if not delivered:
                SERVER.warning("webhook of job %s, try %d: %s", job.id, job.webhook_tries, status or "no answer")
            await asyncio.to_thread(
                self._store.job_leases.note_webhook, job.id, delivered=delivered, retry_in_s=retry_in_s
            )

    async def _send(self, job: Job) -> int | None:
        """One try; the status of the answer, None without one."""
        import httpx

        body = dumps({"type": "job.ended", "job": shown(job)})
        try:
            parts = self.hosts.check(str(job.webhook))
            port = parts.port or (443 if parts.scheme == "https" else 80)
            async with asyncio.timeout(TIMEOUT_S):
                address = await self._resolved(str(parts.hostname), port)
                # To the address that was looked at: a name may have another one at the next look.
                host = f"[{address}]" if address.version == 6 else str(address)
                url = parts._replace(netloc=f"{host}:{port}", fragment="").geturl()
                headers = self._headers(job, body) | {"Host": parts.netloc}
                async with httpx.AsyncClient(trust_env=False, timeout=TIMEOUT_S, follow_redirects=False) as client:
                    options = {"sni_hostname": str(parts.hostname)}
                    async with client.stream("POST", url, content=body, headers=headers, extensions=options) as answer:
                        return answer.status_code
        except (httpx.HTTPError, httpx.InvalidURL, OSError, TimeoutError, InvalidConfigError, _RefusedError) as error:
            SERVER.info("webhook of job %s: %s", job.id, error or type(error).__name__)
            return None

    async def _resolved(self, host: str, port: int) -> Address:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = [ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]
        return self._first_allowed(addresses, host)

    def _first_allowed(self, addresses: Iterable[Address], host: str) -> Address:
        for address in addresses:
            if self.hosts.takes(address):
                return address
        raise _RefusedError(f"{host} has no public address, and none that webhook_hosts names")

    def _headers(self, job: Job, body: bytes) -> dict[str, str]:
        delivery, sent_at = f"{job.id}.{job.state}", str(int(time.time()))
        secret = base64.b64decode(self.secret(job.key_id).removeprefix(PREFIX))
        digest = hmac.new(secret, f"{delivery}.{sent_at}.".encode() + body, hashlib.sha256).digest()
        return {
            "Content-Type": "application/json",
            "User-Agent": "esmkit",
            "webhook-id": delivery,
            "webhook-timestamp": sent_at,
            "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
        }
