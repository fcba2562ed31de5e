"""The deployments of a server on Ray, put together from its settings."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ray import serve
from ray.serve.config import AutoscalingConfig, AutoscalingPolicy

from esmkit.cluster.serve.autoscaling import by_queued_tokens
from esmkit.cluster.serve.board import Board
from esmkit.cluster.serve.ingress import Extend, Ingress
from esmkit.cluster.serve.replica import ModelReplica, ReplicaPlan, shared_replica
from esmkit.cluster.serve.sizes import INGRESS, SHARED, Size, sizes
from esmkit.config import Settings
from esmkit.engine.queue import ModelInfo, ModelSpec
from esmkit.errors import InvalidConfigError
from esmkit.models.locate import find
from esmkit.server.queues import model_specs, serving_queue
from esmkit.server.settings import ServerSettings
from esmkit.store import database_url

AT_ONCE = 1000
"""Requests in one replica at a time; what is there waits in its queue, by priority, and is bounded in tokens."""
LOOK_BACK_S = 5.0
"""Loads are means over so long."""
METRICS_S = 1.0
"""Ray's own choice is ten seconds, in which a queue can double many times. The option is to become a variable of the
environment of Ray's processes, which Ray warns of and does not read yet."""
UNLIMITED = 10**6


def application(settings: ServerSettings, home: Settings, *, extend: Extend | None = None) -> serve.Application:
    """Everything that serves, for `serve.run`.

    Args:
        settings: of the server.
        home: where weights are, on every machine.
        extend: adds routes to the HTTP application.

    Raises:
        UnknownModelError: there is no such model.
        WeightsError: its files are not on this machine, or incomplete.
        InvalidConfigError: settings that several processes cannot keep.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*metrics_interval_s", DeprecationWarning)
        return _bound(_settled(settings), home, extend)


def _bound(settings: ServerSettings, home: Settings, extend: Extend | None) -> serve.Application:
    check(settings)
    infos = _infos(settings, home)
    names = {each.casefold(): info.slug for own, info in infos.items() for each in (own, info.slug)}
    bounds = sizes(settings, names)
    shared = _shared(settings, names)
    as_board = serve.deployment(name="board", ray_actor_options={"num_cpus": 0}, max_ongoing_requests=AT_ONCE)
    board = as_board(Board).bind()
    placed = [_placed(spec, home) for spec in model_specs(settings)]
    specs = {info.slug: spec for info, spec in zip(infos.values(), placed, strict=True)}
    handles: dict[str, Any] = {
        slug: _model(slug, {slug: spec}, bounds[slug], ModelReplica, settings, home, board)
        for slug, spec in specs.items()
        if slug not in shared
    }
    if shared:
        among = {slug: specs[slug] for slug in shared}
        replica = shared_replica(settings.ray_shared_models)
        together = _model(SHARED, among, bounds[SHARED], replica, settings, home, board)
        handles |= dict.fromkeys(shared, together)
    lasting = frozenset(slug for slug in specs if slug not in shared and bounds[slug].least)
    return _ingress(settings, bounds[INGRESS]).bind(settings, infos, handles, shared, lasting, board, extend)


def _settled(settings: ServerSettings) -> ServerSettings:
    """Store and folders are those of whoever gives the order, not of the place where Ray was started."""
    url = settings.database_url or database_url(os.environ).render_as_string(hide_password=False)
    predictors, indexes = (tuple(map(_absolute, folders)) for folders in (settings.predictors, settings.indexes))
    jobs = settings.jobs_folder and _absolute(settings.jobs_folder)
    return replace(settings, database_url=url, predictors=predictors, indexes=indexes, jobs_folder=jobs)


def _absolute(path: str) -> str:
    return str(Path(path).expanduser().resolve())


def _placed(spec: ModelSpec, home: Settings) -> ModelSpec:
    """A model that is a path here has the same path on every machine."""
    path = _absolute(spec.name)
    return replace(spec, name=path) if find(spec.name, home).origin == path else spec


def least_resources(settings: ServerSettings, home: Settings) -> dict[str, float]:
    """What Ray must keep for the least number of replicas, in Ray's words: CPU and GPU."""
    infos = _infos(settings, home)
    names = {each.casefold(): info.slug for own, info in infos.items() for each in (own, info.slug)}
    bounds, shared = sizes(settings, names), _shared(settings, names)
    always = [size for name, size in bounds.items() if name not in shared and (name != SHARED or shared)]
    return {
        "CPU": sum(size.least * size.cpus for size in always),
        "GPU": sum(size.least * size.gpus for size in always),
    }


def check(settings: ServerSettings) -> None:
    """Refuses what each HTTP application would keep for itself, where there are several of them.

    Raises:
        InvalidConfigError: names the setting.
    """
    if settings.ray_ingress == 1:
        return
    rates = (settings.limit_requests_per_s, settings.limit_residues_per_minute, settings.limit_residues_per_day)
    if any(rates) and settings.limits_storage_url.startswith("memory:"):
        raise InvalidConfigError(
            f"{settings.ray_ingress} HTTP applications would each count rates for themselves; name a redis in "
            "limits_storage_url",
            setting="limits_storage_url",
        )
    if settings.chat_model is not None:
        raise InvalidConfigError(
            "conversations are in the memory of one HTTP application; a server with chat_model needs ray_ingress = 1",
            setting="ray_ingress",
        )


def _infos(settings: ServerSettings, home: Settings) -> dict[str, ModelInfo]:
    """What is known of each model without loading it."""
    queue = serving_queue(settings, home, on_fatal=lambda error: None)
    return {name: queue.info(name) for name in settings.models}


def _shared(settings: ServerSettings, names: Mapping[str, str]) -> frozenset[str]:
    unknown = [name for name in settings.ray_shared if name.casefold() not in names]
    if unknown:
        raise InvalidConfigError(
            f"ray_shared={unknown[0]!r} is not served; choose from {', '.join(dict.fromkeys(names.values()))}",
            setting="ray_shared",
        )
    return frozenset(names[name.casefold()] for name in settings.ray_shared)


def _model(
    name: str,
    specs: Mapping[str, ModelSpec],
    size: Size,
    replica: type[ModelReplica],
    settings: ServerSettings,
    home: Settings,
    board: Any,
) -> serve.Application:
    threads = settings.threads or max(1, int(size.cpus))
    plan = ReplicaPlan(
        specs={slug: replace(spec, threads=threads) for slug, spec in specs.items()},
        home=home,
        max_queued_tokens=settings.max_queued_tokens,
        restarts=settings.restarts,
        cache_bytes=settings.cache_bytes,
        target_tokens=settings.ray_target_tokens,
        drain_timeout_s=settings.drain_timeout_s,
    )
    deployment = serve.deployment(
        name=name.replace("/", "--"),
        autoscaling_config=_scaling(settings, size),
        ray_actor_options={"num_cpus": size.cpus, "num_gpus": size.gpus},
        max_ongoing_requests=AT_ONCE,
        **_life(settings),
    )
    return deployment(replica).bind(plan, board)


def _scaling(settings: ServerSettings, size: Size) -> AutoscalingConfig:
    return AutoscalingConfig(
        min_replicas=size.least,
        max_replicas=size.most,
        metrics_interval_s=METRICS_S,
        look_back_period_s=LOOK_BACK_S,
        upscale_delay_s=settings.ray_upscale_s,
        downscale_delay_s=settings.ray_downscale_s,
        downscale_to_zero_delay_s=settings.ray_idle_s,
        policy=AutoscalingPolicy(policy_function=by_queued_tokens),  # type: ignore[no-untyped-call]
    )


def _ingress(settings: ServerSettings, size: Size) -> serve.Deployment:
    deployment = serve.deployment(
        name=INGRESS,
        num_replicas=size.least,
        ray_actor_options={"num_cpus": size.cpus},
        max_ongoing_requests=UNLIMITED,
        **_life(settings),
    )
    return deployment(Ingress)


def _life(settings: ServerSettings) -> dict[str, Any]:
    return {
        "graceful_shutdown_timeout_s": settings.drain_timeout_s,
        "graceful_shutdown_wait_loop_s": 0.5,
        "health_check_period_s": 5.0,
        "max_surge_percent": 100 if settings.ray_surge else 0,
    }
