"""Scripts, styles and vendored libraries: served under a name that changes with them, so that browsers keep them."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

FOLDER = Path(__file__).parent / "static"


class Assets(StaticFiles):
    """The files of `static/`; browsers may keep them for ever."""

    def __init__(self) -> None:
        super().__init__(directory=FOLDER)

    async def get_response(self, path: str, scope: Scope) -> Response:
        """A file, or 404."""
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return response


@cache
def mount_path() -> str:
    """Where they are: the same for the same content."""
    digest = hashlib.sha256()
    for path in sorted(FOLDER.rglob("*")):
        if path.is_file():
            digest.update(path.relative_to(FOLDER).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return f"/static/{digest.hexdigest()[:16]}"


def address(name: str) -> str:
    """Where one of them is.

    Example:
        >>> address("core/api.js").endswith("/core/api.js")
        True
    """
    return f"{mount_path()}/{name}"


def exists(name: str) -> bool:
    """Whether there is one of this name."""
    return (FOLDER / name).is_file()
