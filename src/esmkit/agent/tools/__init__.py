"""The one list of tools, which MCP and the chat share; a module for each few."""

from esmkit.agent.errors import AccessError, ToolError
from esmkit.agent.tools import (
    comparing,
    contacts,
    designing,
    embeddings,
    fetching,
    masked,
    models,
    mutations,
    searching,
)
from esmkit.agent.tools.base import Answer, Picture, Session, Tool, use

TOOLS: tuple[Tool, ...] = (
    models.LIST_MODELS,
    embeddings.EMBED,
    embeddings.SIMILARITY,
    contacts.CONTACTS_SUMMARY,
    masked.MASKED_PREDICTION,
    mutations.SCORE_MUTATIONS,
    mutations.MUTATIONAL_SCAN_SUMMARY,
    comparing.COMPARE,
    searching.SEARCH,
    designing.DESIGN_PROPOSALS,
    fetching.FETCH_RESULT,
)

__all__ = ["TOOLS", "AccessError", "Answer", "Picture", "Session", "Tool", "ToolError", "use"]
