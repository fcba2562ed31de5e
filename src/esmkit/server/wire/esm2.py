"""ESM-2's requests: `encode`, `predict`, `log_prob`, as BioLM's three versions take them, plus esmkit's extensions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, create_model, field_validator
from pydantic.config import JsonDict

from esmkit import alphabet
from esmkit.applications import chains
from esmkit.applications.chains import Chains
from esmkit.errors import InvalidConfigError
from esmkit.outputs import OutputOptions
from esmkit.server.errors import InvalidRequestError, Issue
from esmkit.server.wire.base import Body, Bounds, FieldOf, Version, items_field
from esmkit.server.wire.esm2_answers import Esm2Call
from esmkit.types import ModelShape, Record

ACTIONS = ("encode", "predict", "log_prob")
ALIASES = {"score": "log_prob", "transform": "encode"}
"""`score` is the verb that BioLM's SDK has for likelihoods, `transform` the name of encode in v1 of 2022."""

Include = Literal["mean", "per_token", "per_residue", "bos", "contacts", "logits", "attentions"]
_MAP_OUTPUTS = {"contacts", "attentions", "attention_maps"}
_RESIDUES = alphabet.STANDARD + alphabet.NONSTANDARD
_LETTERS = {"encode": _RESIDUES + "-", "predict": _RESIDUES, "log_prob": _RESIDUES + "-"}
_PARTS = re.compile(f"{alphabet.MASK}|.", re.DOTALL)
_PATTERNS = {
    "encode": f"^[{_RESIDUES}:-]+$",
    "predict": f"^([{_RESIDUES}:]|<mask>)*<mask>([{_RESIDUES}:]|<mask>)*$",
    "log_prob": f"^[{_RESIDUES}-]*[{alphabet.STANDARD}][{_RESIDUES}-]*$",
}
_CHAINED = "; with params.chains also : between chains."
_EXAMPLES = {"encode": "MKTAYIAKQRQISFVKSHFSRQ", "predict": "MKTAYIAK<mask>RQISFVKSHFSRQ"}


class ChainOptions(Body):
    """How chains separated by `:` become one sequence."""

    linker: int = Field(
        chains.LINKER_LENGTH, ge=1, le=200, description="Glycines between neighbouring chains; cut from the answer."
    )


class Params(Body):
    """esmkit's extensions, which every action takes; BioLM's own clients send none of them."""

    long: Literal["error", "window", "truncate"] = Field(
        "error",
        description="Sequences above the limit: refuse; compute overlapping windows and average; or keep the start. "
        "What was done is shown as `long` of the result.",
    )
    provenance: bool = Field(False, description="Add `esmkit`: model, sha256 of the weights, dtype, versions.")
    priority: Literal["interactive", "bulk"] = Field("interactive", description="Bulk work yields to interactive.")
    deadline_s: float | None = Field(None, gt=0, le=86_400, description="Give up with 504 after so many seconds.")


class EncodeParams(Params):
    """What `encode` computes."""

    repr_layers: list[int] = Field(
        [-1], min_length=1, max_length=128, description="Layers 0 (input embedding) to N, or -(N+1) to -1."
    )
    include: list[Include] = Field(
        ["mean"],
        min_length=1,
        max_length=32,
        description="What to return: mean (embedding per sequence), per_token or per_residue (the same: one vector per "
        "residue), bos, contacts, logits, attentions.",
    )
    pool: Literal["mean", "max"] = Field("mean", description="How residues become one embedding.")
    layers: list[int] | None = Field(
        None, min_length=1, max_length=128, description="With attentions: full maps of these layers, 1..N or negative."
    )
    heads: list[int] | None = Field(
        None, min_length=1, max_length=128, description="With attentions: full maps of these heads, 1..H."
    )
    chains: ChainOptions | None = Field(None, description="Read `:` in a sequence as the border of two chains.")


class PredictParams(Params):
    """What `predict` takes."""

    chains: ChainOptions | None = Field(None, description="Read `:` in a sequence as the border of two chains.")


class Item(Body):
    """One protein."""

    sequence: str


class Request(Body):
    """Up to so many proteins and what to do with them."""

    @field_validator("params", mode="before", check_fields=False)
    @classmethod
    def _null_is_default(cls, value: Any) -> Any:
        return {} if value is None else value


_PARAMS: dict[str, type[Params]] = {"encode": EncodeParams, "predict": PredictParams, "log_prob": Params}


@cache
def request_type(version: Version, action: str, bounds: Bounds) -> type[BaseModel]:
    """The request of an action: v1 refuses fields it does not know, v2 and v3 ignore them as BioLM does."""
    strict: dict[str, Any] = {"extra": "forbid" if version is Version.V1 else "ignore"}
    name = action.title().replace("_", "")
    item = create_model(
        f"{name}Item",
        __base__=Item,
        __cls_kwargs__=strict,
        __doc__=Item.__doc__,
        sequence=sequence_field(action, bounds),
    )
    base = _PARAMS[action]
    chain_type = create_model("Chains", __base__=ChainOptions, __cls_kwargs__=strict, __doc__=ChainOptions.__doc__)
    joined: dict[str, Any] = {}
    if "chains" in base.model_fields:
        joined["chains"] = (chain_type | None, base.model_fields["chains"])
    params = create_model(f"{name}Params", __base__=base, __cls_kwargs__=strict, __doc__=base.__doc__, **joined)
    items = Field(min_length=1, max_length=bounds.max_items, description="The proteins; answered in this order.")
    return create_model(
        f"{name}Request",
        __base__=Request,
        __cls_kwargs__=strict,
        __doc__=Request.__doc__,
        items=(list[item], items),  # type: ignore[valid-type]
        params=(params, Field(default_factory=params, description="What to compute; may be left out.")),
    )


def sequence_field(action: str, bounds: Bounds) -> Any:
    """Type and description of a sequence in a request; `sequence_problem` is what checks it."""
    kind = {
        "encode": f"20 amino acids, X B U Z O, and - for gaps{_CHAINED}",
        "predict": "20 amino acids and X B U Z O, with <mask>, which counts as one residue, in place of each residue "
        f"to predict, at least one{_CHAINED}",
        "log_prob": "20 amino acids, of which there is one at least, X B U Z O, and - for gaps.",
    }[action]
    longest = len(alphabet.MASK) if action == "predict" else 1  # characters that one residue may have
    shown: JsonDict = {"minLength": 1, "maxLength": bounds.max_residues * longest, "pattern": _PATTERNS[action]}
    example = _EXAMPLES.get(action, _EXAMPLES["encode"])
    text = f"Up to {bounds.max_residues} residues, more with params.long. Upper case: {kind}"
    return (
        Annotated[
            str,
            Field(
                description=text,
                examples=[example],
                json_schema_extra=shown,
            ),
        ],
        ...,
    )


def plan(
    action: str,
    sequences: Sequence[str],
    params: Params,
    shape: ModelShape,
    bounds: Bounds,
    *,
    field_of: FieldOf = items_field,
    results_key: str = "results",
) -> Esm2Call:
    """What the queue must compute for a request.

    Raises:
        InvalidRequestError: lists every sequence and parameter that is wrong.
    """
    linker = getattr(params, "chains", None)
    issues: list[Issue] = []
    records: list[Record] = []
    parts: list[Chains | None] = []
    for index, sequence in enumerate(sequences):
        problem = sequence_problem(sequence, action, params, bounds)
        if problem is not None:
            issues.append(Issue(field_of(index), *problem))
            continue
        joined, chain = chains.join(sequence, linker.linker) if linker else (sequence, None)
        records.append(Record(index, f"items__{index}", joined))
        parts.append(chain)
    options, asked = _outputs(action, params, shape, any(parts), issues)
    lengths = [alphabet.num_residues(record.sequence) for record in records]
    issues += _long_problems(params, asked, max(lengths, default=0), bounds)
    if issues:
        raise InvalidRequestError(issues)
    cap = bounds.max_residues if params.long == "truncate" else bounds.max_long_residues
    return Esm2Call(
        action=action,
        records=records,
        outputs=asked,
        options=options,
        residues=sum(min(length, cap) for length in lengths),
        include=frozenset(getattr(params, "include", ())),
        layers=tuple(sorted({shape.layer(layer) for layer in options.layers})),  # BioLM's order, whatever was asked
        pool=getattr(params, "pool", "mean"),
        long=params.long,
        chains=tuple(parts),
        priority=params.priority,
        deadline_s=params.deadline_s,
        provenance=params.provenance,
        field_of=field_of,
        results_key=results_key,
    )


def sequence_problem(sequence: str, action: str, params: Params, bounds: Bounds) -> tuple[str, str] | None:
    """Message and type of the first thing wrong with a sequence; None when nothing is."""
    linker = getattr(params, "chains", None)
    separators = sequence.count(chains.SEPARATOR) if linker else 0
    whole = params.long == "error" or (params.long == "truncate" and separators > 0)  # a cut would go through a chain
    limit = bounds.max_residues if whole else bounds.max_long_residues
    length = alphabet.num_residues(sequence) + (separators * (linker.linker - 1) if linker else 0)
    if not sequence:
        return "the sequence is empty; give at least one residue", "sequence_empty"
    if length > limit:
        with_linkers = ", linkers included" if separators else ""
        advice = "; params.long may be window or truncate" if params.long == "error" else ""
        return f"{length} residues{with_linkers}, at most {limit} are allowed{advice}", "sequence_too_long"
    bare = sequence.replace(alphabet.MASK, "") if action == "predict" else sequence
    if linker:
        if "" in sequence.split(chains.SEPARATOR):
            return "Consecutive occurrences of ':' are not allowed, nor one at the start or end", "chain_empty"
        bare = bare.replace(chains.SEPARATOR, "")
    if not set(bare) <= set(_LETTERS[action]):
        return _offence(sequence, action, linker is not None), "sequence_residue"
    if action == "predict" and alphabet.MASK not in sequence:
        return "there is no <mask>; write it in place of every residue to predict", "mask_missing"
    if action == "log_prob" and not set(sequence) & set(alphabet.STANDARD):
        return "none of the 20 amino acids, so nothing can be scored", "sequence_unscored"
    return None


def _offence(sequence: str, action: str, chained: bool) -> str:
    allowed = {*_LETTERS[action], *([alphabet.MASK] if action == "predict" else []), *(":" if chained else "")}
    parts = _PARTS.findall(sequence)
    position, found = next((index + 1, part) for index, part in enumerate(parts) if part not in allowed)
    shown = repr(found) if found.isprintable() else f"the character U+{ord(found):04X}"
    letters = f"the 20 amino acids in upper case and {' '.join(_LETTERS[action][20:])}"
    masks = " and <mask>" if action == "predict" else ""
    return f"position {position}: found {shown}; allowed are {letters}{masks}{_advice(found, action)}"


def _advice(found: str, action: str) -> str:
    if found == alphabet.MASK:
        return f"; {action} takes no <mask>, predict does"
    if found == chains.SEPARATOR:
        return '; to join chains with a linker send "params": {"chains": {}}' if action != "log_prob" else ""
    return ""


def _outputs(
    action: str, params: Params, shape: ModelShape, chained: bool, issues: list[Issue]
) -> tuple[OutputOptions, tuple[str, ...]]:
    """Outputs of the engine and their options; adds to `issues` what the model cannot give."""
    if not isinstance(params, EncodeParams):
        return OutputOptions(), ("logits",) if action == "predict" else ("log_prob",)
    issues += [issue for layer in params.repr_layers if (issue := _layer_issue(shape, "repr_layers", layer))]
    issues += [issue for layer in params.layers or () if (issue := _layer_issue(shape, "layers", layer))]
    for head in params.heads or ():
        if not 1 <= head <= shape.num_heads:
            issues.append(
                Issue(
                    ("params", "heads"),
                    f"head {head} does not exist: this model has heads 1 to {shape.num_heads}",
                    "head",
                )
            )
    maps = params.layers is not None or params.heads is not None
    if maps and "attentions" not in params.include:
        message = 'layers and heads choose attention maps: add "attentions" to include; embeddings have repr_layers'
        issues.append(Issue(("params", "layers" if params.layers else "heads"), message, "option_unused"))
    names = {
        "mean": "per_residue" if chained else params.pool,
        "per_token": "per_residue",
        "attentions": "attention_maps" if maps else "attentions",
    }
    asked = tuple(dict.fromkeys(names.get(name, name) for name in params.include))
    if issues:
        return OutputOptions(), asked
    options = OutputOptions(
        layers=tuple(params.repr_layers),
        attention_layers=None if params.layers is None else tuple(params.layers),
        attention_heads=None if params.heads is None else tuple(params.heads),
    )
    return options, asked


def _layer_issue(shape: ModelShape, name: str, layer: int) -> Issue | None:
    try:
        number = shape.layer(layer)
    except InvalidConfigError as error:
        return Issue(("params", name), error.message, "layer")
    if name == "layers" and number == 0:
        return Issue(("params", name), "layer 0 is the input embedding and has no attention", "layer")
    return None


def _long_problems(params: Params, outputs: Sequence[str], longest: int, bounds: Bounds) -> list[Issue]:
    refused = sorted(_MAP_OUTPUTS.intersection(outputs))
    if params.long != "window" or longest <= bounds.max_residues or not refused:
        return []
    message = (
        f"{', '.join(refused)} relate residues that no window of {bounds.max_residues} holds together; "
        "use truncate, or do not include them"
    )
    return [Issue(("params", "long"), message, "long")]
