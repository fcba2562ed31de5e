"""The 33 tokens of ESM-2, what counts as a residue, and tokenize: text to ids by byte look-up, without torch."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from esmkit.errors import InvalidRecordError, InvalidSequenceError
from esmkit.types import Record

TOKENS: tuple[str, ...] = (
    *("<cls>", "<pad>", "<eos>", "<unk>"),
    *"LAGVSERTIDPKQNFYMHWCXBUZO.-",
    *("<null_1>", "<mask>"),
)
ID_OF: dict[str, int] = {token: number for number, token in enumerate(TOKENS)}
CLS_ID, PAD_ID, EOS_ID, MASK_ID = (ID_OF[token] for token in ("<cls>", "<pad>", "<eos>", "<mask>"))
MASK = "<mask>"

STANDARD = "LAGVSERTIDPKQNFYMHWC"
"""The 20 amino acids in the order of their ids 4..23, which is also BioLM's column order."""
STANDARD_IDS = slice(ID_OF["L"], ID_OF["C"] + 1)
NONSTANDARD = "XBUZO"
GAPS = ".-"
ALLOWED = STANDARD + NONSTANDARD + GAPS

_CLS_BYTE, _EOS_BYTE, _MASK_BYTE, _NO_TOKEN = 1, 2, 3, 255
_MASK_CHARACTER = chr(_MASK_BYTE)
_PARTS = re.compile(f"{MASK}|.", re.DOTALL)


def _byte_table() -> bytes:
    table = bytearray([_NO_TOKEN]) * 256
    for letter in ALLOWED:
        table[ord(letter)] = ID_OF[letter]
    table[_CLS_BYTE], table[_EOS_BYTE], table[_MASK_BYTE] = CLS_ID, EOS_ID, MASK_ID
    return bytes(table)


_TABLE = _byte_table()
_BEFORE, _BETWEEN, _AFTER = chr(_CLS_BYTE), chr(_EOS_BYTE) + chr(_CLS_BYTE), chr(_EOS_BYTE)
_ALLOWED_BYTES = ALLOWED.encode()


@dataclass(frozen=True, slots=True)
class ResiduePolicy:
    """What `clean` may change; the default changes nothing.

    Attributes:
        lowercase: `error`, or `upper` to accept lower-case residues as upper-case ones.
        strip_stop: drop one `*` at the very end.
    """

    lowercase: Literal["error", "upper"] = "error"
    strip_stop: bool = False


def clean(record: Record, policy: ResiduePolicy | None = None) -> Record:
    """The record with a sequence that the model has tokens for, or an error that names the first offence.

    Args:
        record: sequence of the 20 amino acids, X B U Z O, the gap characters `.` and `-`, and `<mask>`.
        policy: what may be repaired; nothing by default.

    Returns:
        The same record, or a copy with the repaired sequence.

    Raises:
        InvalidRecordError: the sequence is empty.
        InvalidSequenceError: a character is no residue; names record, line, 1-based position and character.

    Example:
        >>> clean(Record(0, "a", "mk<mask>*"), ResiduePolicy(lowercase="upper", strip_stop=True)).sequence
        'MK<mask>'
    """
    policy = policy or ResiduePolicy()
    sequence = record.sequence
    if policy.strip_stop and sequence.endswith("*"):
        sequence = sequence[:-1]
    if policy.lowercase == "upper" and not sequence.isupper():
        sequence = sequence.upper().replace(MASK.upper(), MASK)
    if not sequence:
        raise InvalidRecordError(
            f"record {record.id!r}{_place(record, 0)} has an empty sequence; remove it or give at least one residue",
            record_id=record.id,
            **_origin_fields(record, 0),
        )
    bare = sequence.replace(MASK, "") if "<" in sequence else sequence
    if _as_bytes(bare).translate(None, _ALLOWED_BYTES):
        raise _offence(record, sequence)
    return record if sequence is record.sequence else replace(record, sequence=sequence)


def num_residues(sequence: str) -> int:
    """Residues of a clean sequence; `<mask>` counts as one.

    Example:
        >>> num_residues("MK<mask>L")
        4
    """
    return len(sequence) - (len(MASK) - 1) * sequence.count(MASK) if "<" in sequence else len(sequence)


def residues(sequence: str) -> list[str]:
    """The residues of a clean sequence, one string each, `<mask>` kept whole.

    Example:
        >>> residues("MK<mask>L")
        ['M', 'K', '<mask>', 'L']
    """
    if "<" not in sequence:
        return list(sequence)
    return [MASK if letter == _MASK_CHARACTER else letter for letter in _one_character_each(sequence)]


def tokenize(sequences: str | Sequence[str]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Token ids of clean sequences, packed end to end, each between cls and eos.

    Args:
        sequences: one sequence or several, each accepted by `clean`.

    Returns:
        uint8 [T], T = sum of (residues + 2), read-only.

    Raises:
        ValueError: a character has no token; `clean` gives users the better message first.

    Example:
        >>> tokenize("MK<mask>").tolist()
        [0, 20, 15, 32, 2]
    """
    joint = sequences if isinstance(sequences, str) else _BETWEEN.join(sequences)
    ids = _as_bytes(_one_character_each(f"{_BEFORE}{joint}{_AFTER}")).translate(_TABLE)
    if _NO_TOKEN in ids:
        raise ValueError("a sequence holds a character that has no token; pass records through clean() first")
    return np.frombuffer(ids, dtype=np.uint8)


def _one_character_each(sequence: str) -> str:
    return sequence.replace(MASK, _MASK_CHARACTER) if "<" in sequence else sequence


def _as_bytes(text: str) -> bytes:
    """One byte per character; one that has none becomes `?`, which is neither allowed nor a token."""
    return text.encode("latin-1", "replace")


def _offence(record: Record, sequence: str) -> InvalidSequenceError:
    parts = _PARTS.findall(sequence)
    index, found = next((index, part) for index, part in enumerate(parts) if part not in ALLOWED and part != MASK)
    position, offset = index + 1, sum(map(len, parts[:index]))
    message = (
        f"record {record.id!r}{_place(record, offset)}, position {position}: found {_shown(found)}; {_advice(found)}"
    )
    return InvalidSequenceError(
        message,
        record_id=record.id,
        position=position,
        residue=found,
        **_origin_fields(record, offset),
    )


def _shown(character: str) -> str:
    return repr(character) if character.isprintable() else f"the character U+{ord(character):04X}"


def _advice(character: str) -> str:
    if character == "*":
        return "a stop is no residue: drop a final one with --strip-stop, cut the sequence before an inner one"
    if character.upper() in ALLOWED and character != character.upper():
        return "lower case is accepted only with --lowercase upper"
    if character in "Jj":
        return "ESM-2 has no token for J (Leu or Ile): write L, I or X"
    if character.isdigit() or character.isspace():
        return "remove digits and spaces from the sequence"
    if character == "<":
        return f"the only token written in angle brackets is {MASK}"
    return f"allowed are the 20 amino acids, {' '.join(NONSTANDARD)}, the gaps {' '.join(GAPS)} and {MASK}"


def _place(record: Record, offset: int) -> str:
    return f" ({record.origin.source}, line {record.origin.line_of(offset)})" if record.origin else ""


def _origin_fields(record: Record, offset: int) -> dict[str, Any]:
    if record.origin is None:
        return {}
    return {"source": record.origin.source, "line": record.origin.line_of(offset)}
