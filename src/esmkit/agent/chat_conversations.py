"""Conversations: in memory, each for its owner alone, gone when unused for long; nothing is written to disk."""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from esmkit.agent.chat_sequences import Pasted
from esmkit.errors import UserError

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelMessage

MOST_OF_ONE_OWNER = 20


class UnknownConversationError(UserError):
    """There is no such conversation for who asks."""

    code: ClassVar[str] = "user.unknown_conversation"


@dataclass(slots=True, eq=False)
class Conversation:
    """What was said.

    Attributes:
        id: unguessable.
        owner: whose it is; nobody else finds it.
        pasted: the proteins that the user sent.
        messages: whole turns, in the framework's form.
        size_bytes: of the messages.
        notice_shown: whether the user was told where messages go.
        notice_accepted: whether they agreed.
        is_busy: while an answer is written.
    """

    id: str
    owner: str
    pasted: Pasted = field(default_factory=Pasted)
    messages: Sequence[ModelMessage] = ()
    size_bytes: int = 0
    notice_shown: bool = False
    notice_accepted: bool = False
    is_busy: bool = False


class Conversations:
    """All conversations of one process.

    Args:
        most: kept at the same time; the longest unused go first.
        expiry_s: after which an unused one is gone.
        clock: seconds that only rise.
    """

    def __init__(self, *, most: int, expiry_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._expiry_s, self._clock = most, expiry_s, clock
        self._kept: OrderedDict[str, tuple[Conversation, float]] = OrderedDict()

    def __len__(self) -> int:
        self._forget()
        return len(self._kept)

    def start(self, owner: str) -> Conversation:
        """A new one; where the owner or all have too many, those unused for longest go."""
        conversation = Conversation(secrets.token_urlsafe(24), owner)
        self._kept[conversation.id] = (conversation, self._clock())
        self._forget()
        own = [id_ for id_, (kept, _) in self._kept.items() if kept.owner == owner]
        for id_ in own[:-MOST_OF_ONE_OWNER]:
            del self._kept[id_]
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)
        return conversation

    def find(self, owner: str, conversation_id: str) -> Conversation:
        """The conversation of an id, used now.

        Raises:
            UnknownConversationError: it never was, is forgotten, or is somebody else's.
        """
        self._forget()
        conversation, _ = self._kept.get(conversation_id, (None, 0.0))
        if conversation is None or conversation.owner != owner:
            raise UnknownConversationError("this conversation is over; start a new one")
        self._kept[conversation_id] = (conversation, self._clock())
        self._kept.move_to_end(conversation_id)
        return conversation

    def end(self, owner: str, conversation_id: str) -> None:
        """Forgets a conversation.

        Raises:
            UnknownConversationError: there is none.
        """
        del self._kept[self.find(owner, conversation_id).id]

    def _forget(self) -> None:
        oldest = self._clock() - self._expiry_s
        for id_ in [id_ for id_, (_, used_s) in self._kept.items() if used_s <= oldest]:
            del self._kept[id_]
