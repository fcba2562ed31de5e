"""The way to Ray: is it installed, connect or start one here, keep it quiet, leave it."""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from esmkit.errors import CapacityError, InvalidConfigError, demand_module

LOCAL = "local"
"""The address that starts a Ray of our own on this machine, which ends with us."""
_CLIENT = "ray://"
CONNECT_S = 10.0
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",  # Ray would report to its makers; esmkit opens no connection that nobody asked for
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # workers without GPU leave CUDA_VISIBLE_DEVICES alone; else it warns
    "RAY_BACKEND_LOG_LEVEL": "fatal",  # its C++ side writes to our stderr whatever logging says
}


class ClusterError(CapacityError):
    """The Ray cluster cannot be reached, went away, or has no room for a worker."""

    code = "capacity.cluster"


def demand_ray(reason: str = "--ray needs Ray") -> None:
    """Finds out before the work whether Ray is installed.

    Args:
        reason: what needs it, for the message.

    Raises:
        MissingExtraError: it is not.
    """
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)  # Ray reads some of them when it is imported
    demand_module("ray", reason=reason, extra="cluster")


@contextmanager
def connect(
    address: str = LOCAL,
    *,
    num_cpus: int | None = None,
    num_gpus: int | None = None,
    object_store_bytes: int | None = None,
    namespace: str = "esmkit",
) -> Iterator[None]:
    """Ray for the time of a `with` block; one that this process is connected to already is used and left as it is.

    Args:
        address: `local` starts one on this machine, which ends with the block; `auto` is the one that runs on this
            machine; else `HOST:PORT` of a head, to whose cluster this machine belongs.
        num_cpus: processors of a local one; by default what this process may use.
        num_gpus: GPUs of a local one; by default those that are here.
        object_store_bytes: shared memory of a local one; Ray's own choice by default.
        namespace: where named actors live.

    Raises:
        MissingExtraError: Ray is not installed.
        InvalidConfigError: the address is of a kind that cannot be used.
        ClusterError: nobody answers there.
    """
    demand_ray()
    import ray

    if ray.is_initialized():
        yield
        return
    if address.startswith(_CLIENT):
        raise InvalidConfigError(
            f"--ray {address}: Ray Data does not run through Ray Client; run esmkit on a machine of the cluster with "
            "--ray auto, or send the command there with 'ray job submit'",
            setting="ray",
        )
    _keep_stdout_ours()
    starts = address == LOCAL
    try:
        _check_listens(address)
        with _without_stderr():
            ray.init(
                address,
                namespace=namespace,
                log_to_driver=False,
                logging_level=logging.ERROR,
                num_cpus=(num_cpus or _usable_cpus()) if starts else None,
                num_gpus=num_gpus if starts else None,
                object_store_memory=object_store_bytes if starts else None,
                include_dashboard=False if starts else None,
            )
    except (ConnectionError, ValueError, RuntimeError, OSError) as error:
        raise ClusterError(
            f"no Ray cluster answers at {address!r} ({str(error).splitlines()[0]}); start one with 'ray start --head', "
            f"check the address, or use --ray {LOCAL}"
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


def _check_listens(address: str) -> None:
    """Ray itself would try an address where nobody listens for a quarter of an hour.

    Raises:
        OSError: nobody does.
    """
    host, _, port = address.rpartition(":")
    if host and port.isdecimal() and int(port) < 2**16:
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_S).close()


def _keep_stdout_ours() -> None:
    """Ray prints news of its raylets (a worker was lost, a task is tried again) on stdout, where results go.

    It has no switch for that: `log_to_driver` is about what workers print. What matters of it comes as an exception.
    """
    from ray._private import worker

    worker.print_to_stdstream = lambda *_, **__: None


@contextmanager
def _without_stderr() -> Iterator[None]:
    """Ray's C++ side announces the level of its logs on file descriptor 2; what goes wrong comes as an exception."""
    sys.stderr.flush()
    kept = os.dup(2)
    with open(os.devnull, "wb") as nowhere:  # noqa: PTH123
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _usable_cpus() -> int:
    """See `engine.threads`, which loads torch; imported only when a Ray is started."""
    from esmkit.engine.threads import usable_cpus

    return usable_cpus()
