"""Which models and actions the server answers, under which names, and how BioLM's clients list them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from esmkit.errors import InvalidConfigError, UnknownModelError
from esmkit.models import registry
from esmkit.server.actions import EXTENSIONS
from esmkit.server.errors import UnknownActionError
from esmkit.server.wire import esm2
from esmkit.server.wire.base import Version
from esmkit.types import ModelShape

if TYPE_CHECKING:
    from esmkit.engine.queue import ModelInfo

LISTED_ACTIONS = ("encode", "predict", "score", "log_prob")
"""What catalogues and OpenAPI show: every action, and the verb under which BioLM's SDK knows log_prob."""


@dataclass(frozen=True, slots=True)
class ServedModel:
    """One model of the server.

    Attributes:
        name: what the queue calls it.
        slug: its place in URLs, lower case.
        shape: its sizes.
        aliases: other names that URLs may use, lower case.
    """

    name: str
    slug: str
    shape: ModelShape
    aliases: frozenset[str] = frozenset()

    @property
    def title(self) -> str:
        """Name for people: `ESM-2 650M`."""
        family, _, size = self.slug.partition("-")
        size = size.upper() if size[:1].isdigit() else size
        return f"ESM-2 {size}" if family == "esm2" and size else self.slug

    @property
    def description(self) -> str:
        """One line about it."""
        shape = self.shape
        return (
            f"ESM-2 protein language model, {shape.num_layers} layers, width {shape.width}, {shape.num_heads} heads: "
            "embeddings, contacts, attentions, logits, masked prediction, likelihoods."
        )

    def entry(self) -> dict[str, Any]:
        """How BioLM's catalogue lists it."""
        return {
            "model_slug": self.slug,
            "slug": self.slug,
            "model_name": self.title,
            "name": self.title,
            "description": self.description,
            "tags": ["protein", "language model", "ESM-2"],
            "actions": list(LISTED_ACTIONS),
            "encoder": True,
            "predictor": True,
            "generator": False,
            "classifier": False,
            "similarity": False,
            "api_docs_link": "/docs",
            "docs_link": "/docs",
        }


class Catalog:
    """The served models, found by any of their names in any case."""

    def __init__(self, models: Iterable[ServedModel]) -> None:
        self.models = tuple(models)
        self._by_name: dict[str, ServedModel] = {}
        for model in self.models:
            if model.slug in self._by_name:
                raise InvalidConfigError(f"two models would be served as {model.slug!r}", setting="models")
            self._by_name[model.slug] = model
        for model in self.models:
            for alias in model.aliases:
                self._by_name.setdefault(alias, model)

    def find(self, slug: str) -> ServedModel:
        """The model with this slug or alias.

        Raises:
            UnknownModelError: lists the slugs.
        """
        model = self._by_name.get(slug.casefold())
        if model is None:
            slugs = [each.slug for each in self.models]
            raise UnknownModelError(
                f"no model {slug[:60]!r} is served here; choose from {', '.join(slugs)}", name=slug[:60], choices=slugs
            )
        return model


def resolve_action(name: str, version: Version | None = None) -> str:
    """The action that a name in a URL means; some there are only in one version.

    Raises:
        UnknownActionError: lists the actions.

    Example:
        >>> resolve_action("score")
        'log_prob'
    """
    lowered = name.casefold()
    action = esm2.ALIASES.get(lowered, lowered)
    own = tuple(EXTENSIONS) if version is Version.V3 else ()
    if action not in (*esm2.ACTIONS, *own):
        choices = ", ".join((*esm2.ACTIONS, *own, *esm2.ALIASES))
        raise UnknownActionError(f"no action {name[:60]!r}; choose from {choices}")
    return action


def served_model(name: str, info: ModelInfo) -> ServedModel:
    """A model as the server names it: by slug, and by the names of the checkpoint that has this slug.

    Args:
        name: what the operator called it.
        info: what the queue knows of it.
    """
    known = registry.checkpoint(info.slug)
    slug = info.slug.casefold().rpartition("/")[2]
    names = {name, info.slug, *(known.names if known else ())}
    return ServedModel(name, slug, info.shape, frozenset(each.casefold() for each in names if "/" not in each) - {slug})
