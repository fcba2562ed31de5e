"""`mutations`: effects of mutations, computed by the queue as BioLM's actions are."""

from esmkit.server.actions.base import Planned
from esmkit.server.wire import mutations
from esmkit.server.wire.esm2_docs import answer_type
from esmkit.server.wire.mutations_answers import MutationsResult, examples

ACTION = Planned(
    name=mutations.ACTION,
    title="effects of mutations",
    description="Scores of variants, or of all single substitutions: log p(variant) - log p(wild type).",
    request=mutations.request_type,
    answer=answer_type(MutationsResult),
    plan=mutations.plan,
    shown=examples,
)
