"""What a tool is: typed arguments, a description for a language model, and a function that answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from esmkit.agent.errors import ToolError
from esmkit.agent.results import Results
from esmkit.agent.service import Service
from esmkit.agent.text import quoted

_MOST_ISSUES = 8


@dataclass(frozen=True)
class Picture:
    """A picture that belongs to an answer.

    Attributes:
        png: the file.
        alt: what is to be seen, in words.
    """

    png: bytes
    alt: str


@dataclass(frozen=True)
class Answer:
    """What a tool found.

    Attributes:
        content: small, and what JSON can hold.
        picture: of it.
    """

    content: dict[str, Any]
    picture: Picture | None = None


@dataclass(frozen=True)
class Session:
    """Who uses tools, and with what.

    Attributes:
        service: computes; knows the key of who asks.
        results: keeps what is too large for an answer.
        owner: whose results they are.
    """

    service: Service
    results: Results
    owner: str = "local"


@dataclass(frozen=True)
class Tool:
    """One tool.

    Attributes:
        name: for the model.
        title: for people.
        description: when to use it and what it gives, for the model.
        arguments: what it takes.
        run: answers; raises ToolError.
    """

    name: str
    title: str
    description: str
    arguments: type[BaseModel]
    run: Callable[[Any, Session], Awaitable[Answer]]

    @property
    def schema(self) -> dict[str, Any]:
        """JSON Schema of the arguments, everything in place: not every model follows a `$ref`."""
        described = self.arguments.model_json_schema()
        parts = described.pop("$defs", {})
        inlined: dict[str, Any] = _inlined(described, parts)
        return inlined


class Arguments(BaseModel):
    """Base of the arguments of tools: what is not known is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


async def use(tool: Tool, arguments: Mapping[str, Any], session: Session) -> Answer:
    """The answer of a tool.

    Args:
        tool: which.
        arguments: as a model gave them.
        session: who asks, and with what.

    Raises:
        ToolError: says what is wrong, so that a model can mend it.
    """
    try:
        given = tool.arguments.model_validate(dict(arguments))
    except ValidationError as error:
        raise ToolError(_wrong(tool, error)) from None
    return await tool.run(given, session)


def _wrong(tool: Tool, error: ValidationError) -> str:
    found = error.errors(include_url=False, include_context=False, include_input=False)
    issues = [f"{'.'.join(map(str, each['loc'])) or 'arguments'}: {_message(each['msg'])}" for each in found]
    more = f"; and {len(issues) - _MOST_ISSUES} more" if len(issues) > _MOST_ISSUES else ""
    message = (
        f"{tool.name}: {'; '.join(issues[:_MOST_ISSUES])}{more} (it takes {', '.join(tool.arguments.model_fields)})"
    )
    return quoted(message, 1500)


def _inlined(value: Any, parts: Mapping[str, Any]) -> Any:
    if isinstance(value, dict):
        if "$ref" in value:
            part = parts[value["$ref"].rpartition("/")[2]]
            value = {**part, **{key: each for key, each in value.items() if key != "$ref"}}
        # Titles are names of Python's, and of no use to a model.
        return {key: _inlined(each, parts) for key, each in value.items() if key != "title" or isinstance(each, dict)}
    return [_inlined(each, parts) for each in value] if isinstance(value, list) else value


def _message(text: str) -> str:
    return text.removeprefix("Value error, ")
