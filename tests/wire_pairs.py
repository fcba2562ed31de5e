"""Recorded requests and responses per version, in tests/data/wire; `python -m tests.wire_pairs` writes them anew.

clients.json has what BioLM's own clients sent, headers and text of the body; `python -m tests.biolm_runs` writes that.

Numbers depend on weights and machine, so arrays are recorded as their shape, `{"numbers": [3, 128]}`; the values are
compared with the library elsewhere.
"""

from __future__ import annotations

import gzip
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from esmkit.engine import load
from tests.server_stand_in import SLUG, Api

FOLDER = Path(__file__).parent / "data" / "wire"
_SEQUENCE = "MKTAYIAKQRQISFVKSHFSRQ"
_EVERYTHING = {"repr_layers": [-1, 0], "include": ["mean", "bos", "per_token", "contacts", "logits", "attentions"]}


def _bodies() -> dict[str, tuple[str, Any]]:
    def items(*sequences: str, **params: Any) -> dict[str, Any]:
        body: dict[str, Any] = {"items": [{"sequence": sequence} for sequence in sequences]}
        return body | ({"params": params} if params else {})

    return {
        "encode": ("encode", items(_SEQUENCE)),
        "encode everything": ("encode", items(_SEQUENCE, "GSH-", **_EVERYTHING)),
        "encode, odd residue in the second of three": ("encode", items("MKT", "MKJT", "GSH")),
        "encode, layer out of range": ("encode", items("MKT", repr_layers=[99])),
        "encode, unknown output": ("encode", items("MKT", include=["nothing"])),
        "encode, nine items": ("encode", items(*["MKT"] * 9)),
        "encode, unknown field": ("encode", {"items": [{"sequence": "MKT", "name": "x"}]}),
        "encode, too long": ("encode", items("A" * 2049)),
        "encode, no items": ("encode", {}),
        "encode, chains": ("encode", items("MKT:GSH", chains={"linker": 5}, include=["per_token"])),
        "encode, attention maps": ("encode", items("MKTA", layers=[1, 2], heads=[3], include=["attentions"])),
        "predict": ("predict", items("MKT<mask>YIAK")),
        "predict without mask": ("predict", items("MKT")),
        "predict with params": ("predict", items("MK<mask>", include=["mean"])),
        "log_prob": ("log_prob", items("MKTAY", "GG")),
        "score": ("score", items("MKTAY")),
        "unknown action": ("fold", items("MKT")),
    }


def requests(version: str) -> dict[str, dict[str, Any]]:
    """Method, path and body by name."""
    if version == "legacy":
        instances = [{"data": {"text": text}} for text in ("MKT", "GSH")]
        root = f"/api/v1/models/{SLUG}"
        return {
            "transform": {"method": "POST", "path": f"{root}/transform/", "json": {"instances": instances}},
            "predict": {"method": "POST", "path": f"{root}/predict/", "json": {"instances": instances}},
        }
    pairs = {
        name: {
            "method": "POST",
            "path": f"/api/{version}/{SLUG}/{action}{'' if version == 'v1' else '/'}",
            "json": body,
        }
        for name, (action, body) in _bodies().items()
    }
    pairs["unknown model"] = {"method": "POST", "path": f"/api/{version}/esm9/encode/", "json": {}}
    pairs["get instead of post"] = {"method": "GET", "path": f"/api/{version}/{SLUG}/encode"}
    for action in ("encode", "predict", "log_prob"):
        pairs[f"schema of {action}"] = {"method": "GET", "path": f"/api/{version}/schema/{SLUG}/{action}/"}
    return pairs


VERSIONS = ("v1", "v2", "v3", "legacy")


def answer(api: Api, request: dict[str, Any]) -> dict[str, Any]:
    """Status and body of a response, arrays as their shapes."""
    response = api.request(request["method"], request["path"], json=request.get("json"))
    return {"status": response.status_code, "body": shown(response.json())}


def answer_to_client(api: Api, request: dict[str, Any]) -> dict[str, Any]:
    """Status, encoding, and unless it was a GET (those bodies are recorded elsewhere) body, for a client's request."""
    body = request["body"].encode()
    content = gzip.compress(body) if request["headers"].get("content-encoding") == "gzip" else body
    response = api.request(request["method"], request["path"], headers=request["headers"], content=content)
    head = {"status": response.status_code, "encoding": response.headers.get("content-encoding", "identity")}
    return head if request["method"] == "GET" else {**head, "body": shown(response.json())}


@contextmanager
def clients_api(folder: Path) -> Iterator[Api]:
    """A server of the model that BioLM's clients ask for."""
    with Api(load(SLUG), folder, models=("esm2-8m",)) as api:
        yield api


def shown(value: Any) -> Any:
    """The value with numbers replaced where they depend on the weights."""
    if isinstance(value, dict):
        return {key: shown(each) for key, each in value.items()}
    if isinstance(value, float):
        return "a number"
    if isinstance(value, list) and (shape := _shape(value)):
        return {"numbers": shape}
    return [shown(each) for each in value] if isinstance(value, list) else value


def _shape(value: Any) -> list[int] | None:
    """The shape of a rectangular list of floats; None if it is none."""
    if isinstance(value, float):
        return []
    if not isinstance(value, list) or not value:
        return None
    shapes = [_shape(each) for each in value]
    first = shapes[0]
    return [len(value), *first] if first is not None and all(shape == first for shape in shapes) else None


def record_clients(sent: dict[str, dict[str, Any]]) -> None:
    """Writes the file of the clients.

    Args:
        sent: requests by name.
    """
    with tempfile.TemporaryDirectory() as folder, clients_api(Path(folder)) as api:
        pairs = [
            {"name": name, "request": request, "response": answer_to_client(api, request)}
            for name, request in sent.items()
        ]
    text = ",\n".join(map(json.dumps, pairs))  # a line each
    (FOLDER / "clients.json").write_text(f"[\n{text}\n]\n", encoding="utf-8")


def record() -> None:
    """Writes the file of every version."""
    with tempfile.TemporaryDirectory() as folder, Api(load(SLUG), Path(folder)) as api:
        for version in VERSIONS:
            pairs = [
                {"name": name, "request": request, "response": answer(api, request)}
                for name, request in requests(version).items()
            ]
            (FOLDER / f"{version}.json").write_text(json.dumps(pairs, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    record()
