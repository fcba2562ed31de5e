"""Filters such as `length > 100 AND organism = 'Escherichia coli'`: read here into values, so that no text of a user
ever becomes a part of a query.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from esmkit.applications.search.card import IndexCard, Kind
from esmkit.errors import InvalidConfigError

OPERATORS = ("=", "!=", "<", "<=", ">", ">=")
OWN_COLUMNS: Mapping[str, Kind] = {"id": "text", "length": "number"}
"""What every index has besides the columns of its metadata."""

_SPACE = re.compile(r"\s*")
_NAME = re.compile(r'[^\W\d]\w*|"[^"]+"')
_OPERATOR = re.compile(r"!=|<=|>=|=|<|>")
_VALUE = re.compile(r"'(?:[^']|'')*+'|[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?![\w.])")
_AND = re.compile(r"and\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Comparison:
    """One condition: a column, one of `OPERATORS`, and a value of the kind of the column."""

    column: str
    operator: str
    value: str | float


def parse_filter(text: str, card: IndexCard) -> tuple[Comparison, ...]:
    """The conditions of a filter, all of which must hold.

    Args:
        text: comparisons with AND between them: `column operator value`. A name with odd characters is in double
            quotes, text in single ones (a quote in it is doubled).
        card: of the index, for the columns that there are.

    Raises:
        InvalidConfigError: it is no such filter, a column does not exist, or a value is not of its kind.

    Example:
        >>> from esmkit.applications.search.card import Metadata, Space
        >>> card = IndexCard(Space("a", "b", "c", (1,), "mean", 8), (Metadata("EC number", "text"),))
        >>> [each.value for each in parse_filter("length >= 100 AND \\"EC number\\" = '3.5.2.6'", card)]
        [100.0, '3.5.2.6']
    """
    reader = _Reader(text)
    found = [_comparison(reader, card)]
    while not reader.at_end():
        reader.take(_AND, "AND and another comparison (there is no OR, and there are no brackets)")
        found.append(_comparison(reader, card))
    return tuple(found)


class _Reader:
    """Takes one part of a text after the other."""

    def __init__(self, text: str) -> None:
        self._text, self._at = text, 0
        self._skip_space()

    def take(self, pattern: re.Pattern[str], wanted: str) -> str:
        """The next part, which must be of this pattern."""
        found = pattern.match(self._text, self._at)
        if found is None:
            rest = self._text[self._at :]
            raise InvalidConfigError(
                f"--where {self._text!r}: {wanted} should stand at character {self._at + 1}, "
                f"found {repr(rest) if rest else 'the end'}; write for example "
                "\"length > 100 AND organism = 'Homo sapiens'\"",
                setting="where",
            )
        self._at = found.end()
        self._skip_space()
        return found[0]

    def at_end(self) -> bool:
        return self._at == len(self._text)

    def _skip_space(self) -> None:
        found = _SPACE.match(self._text, self._at)
        assert found is not None
        self._at = found.end()


def _comparison(reader: _Reader, card: IndexCard) -> Comparison:
    name = reader.take(_NAME, "the name of a column").strip('"')
    operator = reader.take(_OPERATOR, f"one of {' '.join(OPERATORS)}")
    value = reader.take(_VALUE, "a number, or text in single quotes,")
    kinds = {**{column.name: column.kind for column in card.columns}, **OWN_COLUMNS}
    if name not in kinds:
        raise InvalidConfigError(
            f"--where names a column {name!r}, which the index has not; it has {', '.join(map(repr, kinds))}",
            setting="where",
        )
    is_text = value.startswith("'")
    if is_text != (kinds[name] == "text"):
        advice = (
            "put the value into single quotes, or build the index with --number-column"
            if kinds[name] == "text"
            else "leave the quotes out"
        )
        raise InvalidConfigError(
            f"--where compares {name!r}, a column of {kinds[name]}, with {value}; {advice}", setting="where"
        )
    if is_text:
        return Comparison(name, operator, value[1:-1].replace("''", "'"))
    if not math.isfinite(float(value)):
        raise InvalidConfigError(f"--where: {value} is too large for a number", setting="where")
    return Comparison(name, operator, float(value))
