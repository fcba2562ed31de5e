"""Starts a server on Ray: one of its own that ends with this process, or on a cluster that keeps it."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
from collections.abc import Mapping
from contextlib import suppress
from types import FrameType
from typing import Any

from esmkit.cluster.connection import LOCAL, ClusterError, connect
from esmkit.config import Settings
from esmkit.errors import InvalidConfigError
from esmkit.server.settings import ServerSettings

LOG = logging.getLogger("esmkit.cluster")
NAME = "esmkit"
"""Of the application in Ray Serve."""
WATCH_S = 2.0


def serve_on_ray(settings: ServerSettings, home: Settings, *, extend: Any = None) -> None:
    """Serves until SIGTERM or Ctrl-C on a Ray of its own; or gives the application to a cluster, and returns.

    An application that is there already is replaced replica by replica, and answers all the while.

    Args:
        settings: of the server; `ray` says where.
        home: where weights are, on every machine.
        extend: adds routes to the HTTP application; importable, as Ray sends its name.

    Raises:
        MissingExtraError: Ray is not installed.
        InvalidConfigError: settings that several processes or machines cannot keep.
        ClusterError: Ray cannot be reached, has no room, or goes away.
    """
    address = settings.ray or LOCAL
    if address != LOCAL and settings.port == 0:
        raise InvalidConfigError("a server on a cluster needs a port that stays; name one with --port", setting="port")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # until it serves, both signals mean: leave it
    with connect(address):
        url = deploy(settings, home, extend=extend)
        if address != LOCAL:
            LOG.info("the cluster serves on %s", url)
            return
        LOG.info("running on %s", url)
        try:
            _wait_for_signal()
        finally:
            withdraw()


def deploy(settings: ServerSettings, home: Settings, *, extend: Any = None) -> str:
    """Deploys on the Ray that this process is connected to, and waits until all of it runs; returns its URL.

    Raises:
        InvalidConfigError: settings that several processes or machines cannot keep.
        ClusterError: a replica does not start.
    """
    from ray import serve

    from esmkit.cluster.serve.application import application, least_resources

    _check_machines(settings)
    _check_room(least_resources(settings, home), is_fixed=settings.ray in (None, LOCAL))
    port = settings.port or _free_port(settings.host)
    app = application(settings, home, extend=extend)
    try:
        serve.start(proxy_location="EveryNode", http_options=_http(settings, port))
        serve.run(app, name=NAME, route_prefix="/")
    except (RuntimeError, OSError) as error:
        raise ClusterError(f"the server does not start on Ray: {error}") from error
    scheme = "http" if settings.ssl_certfile is None else "https"
    return f"{scheme}://{settings.host}:{port}"


def withdraw() -> None:
    """Answers what was accepted, then ends the application and Ray Serve."""
    from ray import serve
    from ray.exceptions import RayError

    with suppress(RayError, RuntimeError, TimeoutError):  # a Ray that is gone has nothing left to end
        serve.delete(NAME)
        serve.shutdown()  # type: ignore[no-untyped-call]


def _http(settings: ServerSettings, port: int) -> dict[str, Any]:
    return {
        "host": settings.host,
        "port": port,
        "keep_alive_timeout_s": settings.keep_alive_s,
        "ssl_certfile": settings.ssl_certfile,
        "ssl_keyfile": settings.ssl_keyfile,
    }


def _check_machines(settings: ServerSettings) -> None:
    import ray

    from esmkit.store import database_url

    machines = [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    url = settings.database_url or str(database_url(os.environ))
    if len(machines) > 1 and url.startswith("sqlite"):
        raise InvalidConfigError(
            f"the cluster has {len(machines)} machines, and a SQLite file is on one of them; name a PostgreSQL "
            "database in database_url",
            setting="database_url",
        )


def _check_room(needed: Mapping[str, float], *, is_fixed: bool) -> None:
    """Without it Ray waits for more machines, for good where none can come."""
    import ray

    found = ray.cluster_resources()  # type: ignore[no-untyped-call]
    for name, amount in needed.items():
        there = found.get(name, 0.0)
        if amount > there:
            message = (
                f"the least number of replicas needs {amount:g} {name}s, Ray has {there:g}; lower ray_replicas or "
                f"ray_{name.lower()}s, which may be a fraction"
            )
            if is_fixed:
                raise InvalidConfigError(message, setting=f"ray_{name.lower()}s")
            LOG.warning("%s, unless the cluster grows", message)


def _free_port(host: str) -> int:
    with socket.create_server((host, 0)) as listening:
        return int(listening.getsockname()[1])


def _wait_for_signal() -> None:
    """Returns at SIGTERM or SIGINT.

    Raises:
        ClusterError: Ray Serve or the application is gone.
    """
    from ray import serve
    from ray.exceptions import RayError

    stop = threading.Event()

    def handle(number: int, frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, handle)
    while not stop.wait(WATCH_S):
        try:
            found = serve.status().applications.get(NAME)
        except (RayError, RuntimeError) as error:
            raise ClusterError(f"Ray is gone, and the server with it: {error}") from error
        if found is None:
            raise ClusterError("the application was taken away from Ray Serve")
