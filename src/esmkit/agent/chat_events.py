"""What happens while an answer is written, one event at a time; `to_dict` is what goes over the wire."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from esmkit.agent.tools import Picture


@dataclass(frozen=True, slots=True)
class Notice:
    """Where messages go. If it has to be accepted first, the message was sent nowhere and is to be sent again."""

    kind: ClassVar[str] = "notice"

    text: str
    must_accept: bool

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {"kind": self.kind, **asdict(self)}


@dataclass(frozen=True, slots=True)
class Text:
    """The next piece of the answer; Markdown of a language model, to be shown as text of a stranger."""

    kind: ClassVar[str] = "text"

    text: str

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {"kind": self.kind, **asdict(self)}


@dataclass(frozen=True, slots=True)
class ToolCall:
    """The model asks a tool.

    Attributes:
        id: of this call, the same in its result.
        name: of the tool.
        title: of the tool, for people.
        arguments: as the model wrote them.
    """

    kind: ClassVar[str] = "tool_call"

    id: str
    name: str
    title: str
    arguments: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {"kind": self.kind, **asdict(self)}


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What the tool said to the model.

    Attributes:
        id: of the call.
        name: of the tool.
        content: small; `{"error": message}` where the tool could not answer.
        is_error: whether it could not.
        picture: for the user; the model does not see it.
    """

    kind: ClassVar[str] = "tool_result"

    id: str
    name: str
    content: Mapping[str, Any]
    is_error: bool = False
    picture: Picture | None = None

    def to_dict(self) -> dict[str, Any]:
        """As JSON, the picture in base64."""
        shown = None
        if self.picture is not None:
            shown = {"png": b64encode(self.picture.png).decode("ascii"), "alt": self.picture.alt}
        return {
            "kind": self.kind,
            "id": self.id,
            "name": self.name,
            "content": dict(self.content),
            "is_error": self.is_error,
            "picture": shown,
        }


@dataclass(frozen=True, slots=True)
class Done:
    """The answer is whole.

    Attributes:
        input_tokens: sent to the model, as its provider counts them; 0 where it does not.
        output_tokens: that it wrote.
        requests: to the provider.
        tool_calls: that were made.
    """

    kind: ClassVar[str] = "done"

    input_tokens: int
    output_tokens: int
    requests: int
    tool_calls: int

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {"kind": self.kind, **asdict(self)}


@dataclass(frozen=True, slots=True)
class Failed:
    """There is no answer, or it ends here; the conversation is as it was before the message.

    Attributes:
        code: stable: `chat.limit`, `chat.refused`, `chat.unreachable`, `chat.timeout`, `chat.model`, `chat.busy`.
        message: what happened and what to do.
    """

    kind: ClassVar[str] = "error"

    code: str
    message: str

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {"kind": self.kind, **asdict(self)}


Event = Notice | Text | ToolCall | ToolResult | Done | Failed
