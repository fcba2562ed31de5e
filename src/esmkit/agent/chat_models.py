"""A language model of pydantic-ai for an operator's settings."""

from __future__ import annotations

import httpx2
import pydantic_ai
from pydantic_ai.models import Model
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.ollama import OllamaProvider
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider

from esmkit.agent.chat_settings import PROVIDERS, ChatSettings

pydantic_ai.BANNER_ENABLED = False

_NO_KEY = "none"
"""Sent where no key is needed: without one, the clients would take any from the environment, for whatever host."""
_CONNECT_S = 10.0


def client_for(settings: ChatSettings) -> httpx2.AsyncClient:
    """The HTTP client for a provider.

    It follows no redirect, and knows no proxy for an address of this machine: text goes where the notice says.
    """
    timeout = httpx2.Timeout(settings.answer_timeout_s, connect=_CONNECT_S)
    return httpx2.AsyncClient(timeout=timeout, follow_redirects=False, trust_env=not settings.is_loopback)


def model_for(settings: ChatSettings, client: httpx2.AsyncClient) -> Model:
    """The language model; OpenAI's is asked by chat completions, which OpenAI does not keep unless asked to."""
    url, key = settings.base_url, settings.api_key or _NO_KEY
    if settings.provider == "anthropic":
        from pydantic_ai.models.anthropic import AnthropicModel
        from pydantic_ai.providers.anthropic import AnthropicProvider

        return AnthropicModel(settings.name, provider=AnthropicProvider(api_key=key, base_url=url, http_client=client))
    provider: OllamaProvider | OpenAIProvider | OpenAICompatibleProvider
    if settings.provider == "ollama":
        provider = OllamaProvider(base_url=url, api_key=key, http_client=client)
    elif url == PROVIDERS["openai"].base_url:
        provider = OpenAIProvider(base_url=url, api_key=key, http_client=client)
    else:
        provider = OpenAICompatibleProvider("compatible", base_url=url, api_key=key, http_client=client)
    return OpenAIChatModel(settings.name, provider=provider)
