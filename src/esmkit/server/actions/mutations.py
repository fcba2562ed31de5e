"""`mutations`: effects of mutations, computed by the queue as BioLM's actions are."""

from esmkit.server.actions.base import Planned
from esmkit.server.wire import mutations
from esmkit.server.wire.mutations_answers import MutationsResults, examples

ACTION = Planned(
    name=mutations.ACTION,
    title="effects of mutations",
    description="Scores of variants, or of all single substitutions: log p(variant) - log p(wild type).",
    request=mutations.request_type,
    answer=MutationsResults,
    plan=mutations.plan,
    shown=examples,
)
