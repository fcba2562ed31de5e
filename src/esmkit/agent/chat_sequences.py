"""Proteins that a user pastes into the chat: each becomes one line of data that tools can be given by reference.

A language model that copies three hundred letters may get one wrong, and the answer would be about another protein. So
it hands tools `seq1`, and they get the letters as they were pasted. And a FASTA header, which anybody may have written,
reaches the model as a quoted name alone: its first word, never its sentences.
"""

from __future__ import annotations

import json
import re
from typing import Any

from esmkit.agent.text import quoted

_FASTA = re.compile(r"^[ \t]*>[^\n]*\n\s*(?:[A-Za-z*.\-]|<mask>)+[ \t\r]*$", re.MULTILINE)
_LINE = re.compile(r"(?:[A-Za-z*.\-]|<mask>)+")
_LONE = re.compile(r"(?:[A-IK-Z*]|<mask>){20,}")
_INLINE = re.compile(r"(?<![\w<>])(?:[A-IK-Z*]|<mask>){20,}(?!\w)")
_NAMELESS = "unnamed"


class Pasted:
    """The proteins of one conversation, numbered as they come.

    Example:
        >>> pasted = Pasted()
        >>> print(pasted.quote(">P1 any description" + chr(10) + "MKTAYIAK" + chr(10) + "Is I6A bad?"))
        {"pasted_protein": "seq1", "name": "P1", "residues": 8, "sequence": "MKTAYIAK"}
        Is I6A bad?
        >>> pasted.resolved({"sequence": "seq1", "variants": ["I6A"]})
        {'sequence': 'MKTAYIAK', 'variants': ['I6A']}
    """

    def __init__(self) -> None:
        self._sequences: dict[str, str] = {}

    def quote(self, message: str) -> str:
        """The message with each protein in it, FASTA or bare, as a line of JSON."""
        lines: list[str] = []
        is_fasta = _FASTA.search(message) is not None
        name, residues, is_open = "", list[str](), False
        for line in [*message.splitlines(), None]:
            text = (line or "").strip()
            if is_open and line is not None and (_continues(residues, text) or not (text or residues)):
                residues += [text] if text else []
                continue
            if is_open:
                lines.append(self._noted(name, "".join(residues)))
            is_header = is_fasta and text.startswith(">")
            is_open = is_header or _LONE.fullmatch(text) is not None
            if is_open:
                name, residues = (_first_word(text), []) if is_header else (_NAMELESS, [text])
            elif line is not None:
                lines.append(_INLINE.sub(lambda found: self._noted(_NAMELESS, found[0]), line))
        return "\n".join(lines)

    def resolved(self, arguments: Any) -> Any:
        """The same arguments with the letters in place of references."""
        if isinstance(arguments, str):
            return self._sequences.get(arguments.strip(), arguments)
        if isinstance(arguments, dict):
            return {name: self.resolved(value) for name, value in arguments.items()}
        if isinstance(arguments, list):
            return [self.resolved(value) for value in arguments]
        return arguments

    def _noted(self, name: str, sequence: str) -> str:
        known = {letters: reference for reference, letters in self._sequences.items()}
        reference = known.get(sequence) or f"seq{len(self._sequences) + 1}"
        self._sequences[reference] = sequence
        residues = len(sequence.replace("<mask>", "X").removesuffix("*"))
        return json.dumps({"pasted_protein": reference, "name": name, "residues": residues, "sequence": sequence})


def _continues(residues: list[str], text: str) -> bool:
    """Whether a line is more of the same sequence: no blanks, and upper or lower case as before."""
    if not _LINE.fullmatch(text):
        return False
    return not residues or text.replace("<mask>", "").isupper() == residues[0].replace("<mask>", "").isupper()


def _first_word(header: str) -> str:
    words = header.removeprefix(">").split(maxsplit=1)
    return quoted(words[0]) if words else _NAMELESS
