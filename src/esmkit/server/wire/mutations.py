"""Requests for mutation effects: an action of esmkit's own, in v3 only, that no client of BioLM calls."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, Literal

from pydantic import BaseModel, Field, create_model

from esmkit.applications.mutations.methods import METHODS, Method, MethodName
from esmkit.applications.mutations.scan import scan_indices
from esmkit.applications.mutations.variants import AMINO_ACIDS, Variant, check_wild_type, parse
from esmkit.errors import UserError
from esmkit.outputs import OutputOptions
from esmkit.server.errors import InvalidRequestError, Issue
from esmkit.server.wire import esm2
from esmkit.server.wire.base import Body, Bounds, items_field
from esmkit.server.wire.mutations_call import Item, MutationCall
from esmkit.types import Record

ACTION = "mutations"
MAX_VARIANTS = 1000


class MutationItem(Body):
    """One protein, and its variants; all single substitutions without them."""

    sequence: str
    variants: list[str] | None = None


class MutationParams(esm2.Params):
    """How variants are scored."""

    long: Literal["error", "window"] = Field(
        "error", description="Sequences above the limit: refuse, or compute overlapping windows and average."
    )
    method: MethodName = Field(
        "masked_marginal",
        description="masked_marginal: one mask per position. wt_marginal: one pass. mutant_marginal, one_pass_pll and "
        "pseudo_log_likelihood compute every variant, and need a list of them; the last two take insertions and "
        "deletions.",
    )
    positions: list[int] | None = Field(
        None, min_length=1, max_length=4096, description="Without variants: scan these positions only."
    )
    offset: int = Field(
        0, ge=-1_000_000, le=1_000_000, description="What positions add to places in the sequence, from 1."
    )


@cache
def request_type(bounds: Bounds) -> type[BaseModel]:
    """The request."""
    text = f"Up to {bounds.max_residues} residues, more with params.long. The 20 amino acids, in upper case."
    shown: Any = {"minLength": 1, "maxLength": bounds.max_long_residues, "pattern": f"^[{AMINO_ACIDS}]+$"}
    item = create_model(
        "MutationsItem",
        __base__=MutationItem,
        __doc__=MutationItem.__doc__,
        sequence=(str, Field(description=text, examples=["MKTAYIAKQRQISFVKSHFSRQ"], json_schema_extra=shown)),
        variants=(
            list[str] | None,
            Field(
                None,
                min_length=1,
                max_length=MAX_VARIANTS,
                description="A24G, A24G:K30R, K23del, K23_V25del, K23_L24insRS, K23_V25delinsW, or whole sequences.",
            ),
        ),
    )
    items = Field(min_length=1, max_length=bounds.max_items, description="The proteins; answered in this order.")
    fields: dict[str, Any] = {
        "items": (list[item], items),  # type: ignore[valid-type]
        "params": (MutationParams, Field(default_factory=_defaults, description="How; may be left out.")),
    }
    return create_model(
        "MutationsRequest", __base__=esm2.Request, __doc__="Proteins whose variants are scored.", **fields
    )


def _defaults() -> MutationParams:
    return MutationParams.model_validate({})


def plan(asked: Any, bounds: Bounds) -> MutationCall:
    """What the queue must compute for a request.

    Raises:
        InvalidRequestError: lists every sequence, variant and parameter that is wrong.
    """
    items: Sequence[MutationItem] = asked.items
    params: MutationParams = asked.params
    issues: list[Issue] = []
    records: list[Record] = []
    planned: list[Item] = []
    method = METHODS[params.method]
    for number, item in enumerate(items):
        before = len(issues)
        read = _read(number, item, params, bounds, issues)
        if read is None or len(issues) > before:
            continue
        sequences = [item.sequence] if method.reads_wild_type else []
        if method.reads_variant:
            sequences += [each.sequence for each in read.variants or ()]
        planned.append(Item(item.sequence, len(records), len(sequences), read.indices, read.variants))
        records += [Record(len(records) + at, f"items__{number}", each) for at, each in enumerate(sequences)]
    if len({item.variants is None for item in items}) > 1:
        message = "give variants for all items or for none, so that all answers have one form"
        issues.append(Issue(("items",), message, "variants_mixed"))
    if issues:
        raise InvalidRequestError(issues)
    owners = [number for number, item in enumerate(planned) for _ in range(item.count)]
    options, residues = _cost(planned, records, method)
    return MutationCall(
        action=ACTION,
        records=records,
        outputs=(method.output,),
        options=options,
        residues=residues,
        long=params.long,
        priority=params.priority,
        deadline_s=params.deadline_s,
        provenance=params.provenance,
        field_of=lambda index: items_field(owners[index]),
        method=method,
        items=tuple(planned),
        offset=params.offset,
    )


def _cost(items: Sequence[Item], records: Sequence[Record], method: Method) -> tuple[OutputOptions, int]:
    """The masked positions, and the residues that are computed, masked rows counted one by one."""
    if not method.masks:
        power = 2 if method.name == "pseudo_log_likelihood" else 1  # one row per residue
        return OutputOptions(), sum(len(record.sequence) ** power for record in records)
    if len(items) > 1:  # positions are those of every record of a call
        return OutputOptions(), sum(len(item.sequence) ** 2 for item in items)
    positions = tuple(sorted(index + 1 for index in items[0].changed())) or (1,)
    return OutputOptions(positions=positions), len(items[0].sequence) * len(positions)


def _read(number: int, item: MutationItem, params: MutationParams, bounds: Bounds, issues: list[Issue]) -> Item | None:
    """One item, checked; adds to `issues` what is wrong with it."""
    limit = bounds.max_residues if params.long == "error" else bounds.max_long_residues
    place = items_field(number)
    if len(item.sequence) > limit:
        message = f"{len(item.sequence)} residues, at most {limit} are allowed"
        issues.append(Issue(place, message, "sequence_too_long"))
        return None
    try:
        check_wild_type(item.sequence, offset=params.offset, name="the sequence")
    except UserError as error:
        issues.append(Issue(place, error.message, "sequence_residue"))
        return None
    if item.variants is not None:
        if params.positions is not None:
            message = "positions are for scans; a list of variants says itself what is scored"
            issues.append(Issue(("params", "positions"), message, "option_unused"))
        return Item(item.sequence, 0, 0, variants=tuple(_variants(number, item, params, limit, issues)))
    if METHODS[params.method].reads_variant:
        message = f"{params.method} computes every variant: list them, or scan with masked_marginal or wt_marginal"
        issues.append(Issue(("params", "method"), message, "variants_missing"))
        return None
    try:
        return Item(item.sequence, 0, 0, tuple(scan_indices(item.sequence, params.positions, offset=params.offset)))
    except UserError as error:
        issues.append(Issue(("params", "positions"), error.message, "position"))
        return None


def _variants(
    number: int, item: MutationItem, params: MutationParams, limit: int, issues: list[Issue]
) -> list[Variant]:
    """The variants of an item that can be scored; the others are added to `issues`."""
    found = []
    for at, text in enumerate(item.variants or ()):
        place = ("items", number, "variants", at)
        try:
            sequence = parse(text, item.sequence, offset=params.offset)
            variant = Variant(at, text, sequence, wild_type=item.sequence)
            METHODS[params.method].check(variant)
        except UserError as error:
            issues.append(Issue(place, error.message, "variant"))
            continue
        if len(sequence) > limit:
            issues.append(Issue(place, f"{len(sequence)} residues, at most {limit} are allowed", "sequence_too_long"))
        found.append(variant)
    return found
