"""The web app of `esmkit serve`: pages over the HTTP API, in the same process; no build step, works offline."""

from esmkit.errors import MissingExtraError

try:
    import jinja2  # noqa: F401
except ModuleNotFoundError as error:
    raise MissingExtraError(
        "the web app needs jinja2, which is not installed. Install it with: pip install 'esmkit[server]'",
        extra="server",
    ) from error

from esmkit.web.site import add_to

__all__ = ["add_to"]
