"""JSON Schema of a request as BioLM's clients read it: nothing behind a `$ref`, plus `throttle_rate`."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel


def inlined(kind: type[BaseModel]) -> dict[str, Any]:
    """The schema of a type with every definition put in its place."""
    schema = kind.model_json_schema()
    definitions = schema.pop("$defs", {})

    def resolve(node: Any) -> Any:
        if isinstance(node, list):
            return [resolve(each) for each in node]
        if not isinstance(node, dict):
            return node
        target = definitions.get(str(node.get("$ref", "")).removeprefix("#/$defs/"), {})
        return {name: resolve(value) for name, value in {**target, **node}.items() if name != "$ref"}

    resolved: dict[str, Any] = resolve(schema)
    return resolved


def throttle_rate(requests_per_s: int | None) -> str:
    """The rate that clients keep to, in the only form that they read."""
    return f"{requests_per_s or 1000}/second"
