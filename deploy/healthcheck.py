"""Exits with 0 if the server that was started with this environment answers; for the container's HEALTHCHECK."""

from __future__ import annotations

import os
import ssl
import sys
from urllib.request import urlopen

from esmkit.server.settings import ServerSettings

settings = ServerSettings.resolve({}, os.environ)
scheme = "http" if settings.ssl_certfile is None else "https"
context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # no certificate is for 127.0.0.1
try:
    urlopen(f"{scheme}://127.0.0.1:{settings.port}/health/live", timeout=4, context=context)  # noqa: S310
except OSError as error:
    sys.exit(f"{scheme} port {settings.port}: {error}")
