"""OpenTelemetry: what a span says, whose trace it belongs to, and that a collector really gets it."""

from __future__ import annotations

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, Self

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from esmkit.engine import Model, load
from esmkit.errors import InvalidConfigError, ModelExecutionError
from esmkit.server.tracing import Traced, provider
from tests.server_process import ServedProcess
from tests.server_stand_in import Api

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
PARENT = {"traceparent": f"00-{TRACE_ID}-b7ad6b7169203331-01"}
SECRET_SEQUENCE = "MKTAYIAKQRWWWHHHCCC"


class Collector:
    """Takes what an OTLP exporter posts, as a real collector does."""

    def __init__(self) -> None:
        self.posted: list[tuple[str, bytes]] = []
        posted = self.posted

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                posted.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread = Thread(target=self._server.serve_forever)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture(scope="module")
def model() -> Model:
    return load("esm2-mini")


@pytest.fixture
def spans() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def api(model: Model, tmp_path: Path, spans: InMemorySpanExporter) -> Iterator[Api]:
    made = TracerProvider()
    made.add_span_processor(SimpleSpanProcessor(spans))
    with Api(model, tmp_path) as running:
        running.app.add_middleware(Traced, provider=made)
        yield running


def only(spans: InMemorySpanExporter) -> tuple[ReadableSpan, dict[str, Any]]:
    [span] = spans.get_finished_spans()
    return span, dict(span.attributes or {})


def test_a_span_says_what_was_asked_and_how_long_it_took(api: Api, spans: InMemorySpanExporter) -> None:
    answer = api.call("encode", "MKT", SECRET_SEQUENCE, headers={"X-Request-ID": "mine", **PARENT})
    span, said = only(spans)
    assert answer.status_code == 200
    assert (span.name, span.kind) == ("POST /api/v3/{slug}/{action}", SpanKind.SERVER)
    assert 0 <= said.pop("esmkit.queue_s") < 60
    assert 0 <= said.pop("esmkit.compute_s") < 60
    assert said == {
        "http.request.method": "POST",
        "http.response.status_code": 200,
        "http.route": "/api/v3/{slug}/{action}",
        "esmkit.request_id": "mine",
        "esmkit.model": "esm2-mini",
        "esmkit.action": "encode",
        "esmkit.items": 2,
        "esmkit.residues": 3 + len(SECRET_SEQUENCE),
    }


def test_a_span_belongs_to_the_trace_of_the_caller(api: Api, spans: InMemorySpanExporter) -> None:
    api.call("encode", "MKT", headers=PARENT)
    api.call("encode", "MKT", headers={"traceparent": "nonsense"})
    ours, new = spans.get_finished_spans()
    assert ours.parent is not None
    assert (f"{ours.context.trace_id:032x}", f"{ours.parent.span_id:016x}") == (TRACE_ID, "b7ad6b7169203331")
    assert new.parent is None
    assert new.context.trace_id != ours.context.trace_id


def test_failures_are_marked_and_name_their_code(api: Api, spans: InMemorySpanExporter) -> None:
    assert api.call("encode", f"{SECRET_SEQUENCE}1").status_code == 400
    api.queue.fails_with = ModelExecutionError("broken")
    assert api.call("encode", SECRET_SEQUENCE).status_code == 500
    api.queue.fails_with = ValueError(SECRET_SEQUENCE)
    assert api.call("encode", SECRET_SEQUENCE).status_code == 500
    refused, failed, unexpected = spans.get_finished_spans()
    assert (refused.status.status_code, refused.attributes["error.type"]) == (StatusCode.UNSET, "user.validation")
    assert (failed.status.status_code, failed.attributes["error.type"]) == (StatusCode.ERROR, "system.model_execution")
    assert (unexpected.status.status_code, unexpected.attributes["error.type"]) == (StatusCode.ERROR, "system.error")
    assert not any(SECRET_SEQUENCE in span.to_json() for span in (refused, failed, unexpected))


def test_health_checks_and_scrapes_make_no_spans_and_odd_paths_do(api: Api, spans: InMemorySpanExporter) -> None:
    for path in ("/health/live", "/health/ready", "/metrics", f"/nothing/{SECRET_SEQUENCE}"):
        api.get(path)
    span, _ = only(spans)
    assert span.name == "GET unmatched"
    assert SECRET_SEQUENCE not in span.to_json()


@pytest.mark.parametrize(
    "environment",
    [{}, {"OTEL_SERVICE_NAME": "x"}, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://h:4318", "OTEL_SDK_DISABLED": "True"}],
)
def test_nothing_is_traced_unless_a_collector_is_named(environment: dict[str, str]) -> None:
    assert provider(environment) is None


def test_another_protocol_is_refused() -> None:
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://h:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
    with pytest.raises(
        InvalidConfigError, match=r"OTEL_EXPORTER_OTLP_PROTOCOL=grpc: .*http/protobuf, usually to port 4318"
    ):
        provider(environment)


def test_a_collector_gets_the_spans_of_a_server_at_the_latest_when_it_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Collector() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
        with ServedProcess(tmp_path) as server, server.client() as client:
            body = {"items": [{"sequence": SECRET_SEQUENCE}]}
            assert client.post("/api/v3/esm2-mini/encode/", json=body, headers=PARENT).status_code == 200
            client.get("/health/live")
            server.terminate()
            assert server.process.wait(120) == 0
            [line] = [line for line in server.log() if line.get("model") == "esm2-mini"]
    assert [path for path, _ in collector.posted] == ["/v1/traces"]
    [(_, posted)] = collector.posted
    [resource] = ExportTraceServiceRequest.FromString(posted).resource_spans
    [span] = resource.scope_spans[0].spans
    about = {each.key: each.value.string_value for each in resource.resource.attributes}
    assert (about["service.name"], about["deployment.environment.name"]) == ("esmkit", "test")
    said = {each.key: each.value for each in span.attributes}
    assert span.trace_id.hex() == line["trace_id"] == TRACE_ID
    assert said["esmkit.compute_s"].double_value == pytest.approx(line["compute_ms"] / 1000)
    assert 0 < line["compute_ms"] < line["duration_ms"]
    assert said["esmkit.residues"].int_value == len(SECRET_SEQUENCE)
    assert SECRET_SEQUENCE.encode() not in posted


def test_a_collector_that_is_away_stops_no_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    with ServedProcess(tmp_path) as server, server.client() as client:
        assert client.get("/").status_code == 200
        server.terminate()
        assert server.process.wait(120) == 0
        assert any(line["logger"].startswith("opentelemetry") for line in server.log())
