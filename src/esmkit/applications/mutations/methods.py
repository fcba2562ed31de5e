"""The scoring methods: what each asks of the model, and how the score follows from the answers.

Every score is log p(variant) - log p(wild type), natural logarithm, in the sense of its method: 0 is the wild type, and
higher is better. The methods are those of Meier et al. 2021 (doi:10.1101/2021.07.09.450648), with one mask per row.

Shape suffixes: L residues, V = 20 amino acids in the order of alphabet.STANDARD.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from esmkit.applications.mutations.variants import Variant, substitutions
from esmkit.errors import InvalidConfigError, InvalidVariantError
from esmkit.types import FloatArray

MethodName = Literal["wt_marginal", "masked_marginal", "mutant_marginal", "pseudo_log_likelihood", "one_pass_pll"]


@dataclass(frozen=True, slots=True)
class Method:
    """One way to score variants.

    Attributes:
        name: in options and results.
        output: what the engine computes for it: a table [L, V], or a likelihood.
        reads_wild_type: whether the wild type is computed, once for all variants.
        reads_variant: whether every variant is computed.
        masks: whether the table is made line by line, one masked row each.
        indels: whether variants may be longer or shorter than their wild type.
    """

    name: MethodName
    output: str
    reads_wild_type: bool
    reads_variant: bool
    masks: bool = False
    indels: bool = False

    def check(self, variant: Variant) -> None:
        """Refuses a variant that the method has no score for.

        Raises:
            InvalidVariantError: its length is not that of the wild type, and must be.
        """
        if not self.indels and len(variant.sequence) != len(variant.wild_type):
            origin = variant.origin
            place = f" ({origin.source}, line {origin.line})" if origin else ""
            raise InvalidVariantError(
                f"variant {variant.id!r}{place} has {len(variant.sequence)} residues and its wild type "
                f"{len(variant.wild_type)}; {self.name} compares residue by residue: use one_pass_pll or "
                "pseudo_log_likelihood for insertions and deletions",
                variant=variant.id,
                source=origin.source if origin else None,
                line=origin.line if origin else None,
            )

    def score(self, variant: Variant, *, wild_type: Any = None, own: Any = None) -> float:
        """The score of a variant.

        Args:
            variant: accepted by `check`.
            wild_type: what `output` is for the wild type, if the method reads it.
            own: what `output` is for the variant, if the method reads it.
        """
        if self.indels:
            return float(own) - float(wild_type)
        return marginal(variant, own if self.reads_variant else wild_type)


def marginal(variant: Variant, table_LV: FloatArray) -> float:
    """Sum over substitutions of log p(new) - log p(old); logits do as well, since a constant per residue cancels."""
    at, old, new = substitutions(variant.wild_type, variant.sequence)
    return float((table_LV[at, new].astype(np.float64) - table_LV[at, old]).sum())


METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method("wt_marginal", "logits", reads_wild_type=True, reads_variant=False),
        Method("masked_marginal", "masked_log_probs", reads_wild_type=True, reads_variant=False, masks=True),
        Method("mutant_marginal", "logits", reads_wild_type=False, reads_variant=True),
        Method("pseudo_log_likelihood", "pseudo_log_likelihood", reads_wild_type=True, reads_variant=True, indels=True),
        Method("one_pass_pll", "one_pass_pll", reads_wild_type=True, reads_variant=True, indels=True),
    )
}


def method_named(name: str) -> Method:
    """A method by name.

    Raises:
        InvalidConfigError: there is none; lists those that there are.
    """
    if name not in METHODS:
        raise InvalidConfigError(f"method {name!r}: choose one of {', '.join(METHODS)}", setting="method")
    return METHODS[name]
