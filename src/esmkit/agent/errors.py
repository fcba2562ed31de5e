"""What a tool says when it cannot answer."""

from __future__ import annotations

from typing import ClassVar

from esmkit.errors import UserError


class ToolError(UserError):
    """A tool cannot answer; the message is for a language model, which may mend its call."""

    code: ClassVar[str] = "agent.tool"


class AccessError(ToolError):
    """The server wants an API key, or does not take the one that was given."""

    code: ClassVar[str] = "agent.access"
