"""Pages of HTML that need nothing else: no network, no library. Whatever comes from outside is escaped."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from esmkit.sinks.files import write_whole


def fill(template: Path, data: Any, **texts: str) -> str:
    """A page from its template.

    Args:
        template: a file with `{{name}}` for each text, and `{{data}}` as the content of a `<script type="application/json">`.
        data: what the script of the page reads; JSON values, no NaN.
        texts: any text.
    """
    parts: Mapping[str, str] = {
        **{name: html.escape(text) for name, text in texts.items()},
        # Within <script> only a < can end or open anything.
        "data": json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c"),
    }
    before, *places = template.read_text(encoding="utf-8").split("{{")
    return before + "".join(parts[name] + rest for name, rest in (place.split("}}", 1) for place in places))


def write_page(path: Path, text: str) -> None:
    """Writes a page, and the folder it is in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, text)
