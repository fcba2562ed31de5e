"""OpenTelemetry: one span per request, sent by OTLP over HTTP; only where the environment names a collector.

The variables are OpenTelemetry's own, such as OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_SERVICE_NAME and OTEL_TRACES_SAMPLER.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from starlette.types import ASGIApp, Receive, Scope, Send

from esmkit import __version__
from esmkit.errors import InvalidConfigError, MissingExtraError
from esmkit.server.logs import Trace, is_quiet

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Tracer

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_PROTOCOL = "http/protobuf"


def provider(environment: Mapping[str, str]) -> TracerProvider | None:
    """What sends spans to the collector that the environment names; None where it names none.

    Raises:
        InvalidConfigError: the collector shall get another protocol than OTLP over HTTP.
        MissingExtraError: the packages of the extra `otel` are not installed.
    """
    is_off = environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    if is_off or not any(environment.get(name) for name in ENDPOINTS):
        return None
    for name in _PROTOCOLS:
        if environment.get(name, "") not in ("", _PROTOCOL):
            raise InvalidConfigError(
                f"{name}={environment[name]}: esmkit sends traces as {_PROTOCOL}, usually to port 4318", setting=name
            )
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import OTELResourceDetector, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"the environment asks for traces, which need {error.name}; install it with: pip install 'esmkit[otel]', "
            f"or unset {' and '.join(ENDPOINTS)}",
            extra="otel",
        ) from error
    ours = Resource({"service.name": "esmkit", "service.version": __version__})
    made = TracerProvider(resource=ours.merge(OTELResourceDetector().detect()))
    made.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return made


class Traced:
    """ASGI middleware around the whole application; goes on with the trace of an incoming `traceparent`."""

    def __init__(self, app: ASGIApp, *, provider: TracerProvider) -> None:
        self._app = app
        self._tracer: Tracer = provider.get_tracer("esmkit", __version__)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on, and makes a span of what became of it; not of health checks and scrapes."""
        from opentelemetry.propagate import extract
        from opentelemetry.trace import SpanKind, StatusCode

        if scope["type"] != "http" or is_quiet(scope["path"]):
            await self._app(scope, receive, send)
            return
        parent = extract({name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]})
        with self._tracer.start_as_current_span(
            scope["method"], parent, SpanKind.SERVER, record_exception=False
        ) as span:
            scope["trace_id"] = f"{span.get_span_context().trace_id:032x}"
            try:
                await self._app(scope, receive, send)
            finally:
                trace: Trace = scope["esmkit"]
                span.update_name(f"{trace.method} {trace.route or 'unmatched'}")
                span.set_attributes(dict(_attributes(trace)))
                if trace.status >= 500:
                    span.set_status(StatusCode.ERROR)


def _attributes(trace: Trace) -> Iterator[tuple[str, str | int | float]]:
    """What is known of a request, under OpenTelemetry's names where it has some; never its path or its sequences."""
    yield "http.request.method", trace.method
    yield "http.response.status_code", trace.status
    yield "esmkit.request_id", trace.request_id
    known = {
        "http.route": trace.route,
        "error.type": trace.code,
        "esmkit.key": trace.key,
        "esmkit.model": trace.model,
        "esmkit.action": trace.action,
        "esmkit.items": trace.items,
        "esmkit.residues": trace.residues,
        "esmkit.queue_s": None if trace.queue_ms is None else trace.queue_ms / 1000,
        "esmkit.compute_s": None if trace.compute_ms is None else trace.compute_ms / 1000,
    }
    yield from ((name, value) for name, value in known.items() if value is not None)
