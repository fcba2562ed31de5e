"""`esmkit mcp`: the tools for agents, over the Model Context Protocol on standard input and output."""

from __future__ import annotations

import asyncio

import typer

from esmkit.cli.agent_service import ServiceOptions, demand_packages, opened
from esmkit.cli.options import with_options


@with_options(ServiceOptions, "options")
def mcp(options: ServiceOptions) -> int:
    """Give ESM-2 as tools to an agent such as Claude, over MCP on standard input and output.

    An agent's program starts this by itself; see its configuration. A server
    of its own runs in this process, or --server names one that is there
    already. `esmkit serve` offers the same tools over HTTP at /mcp.

    Example: esmkit mcp --model esm2-650m
    """
    demand_packages()
    from esmkit.agent import mcp as protocol

    protocol.demand_sdk()
    asyncio.run(_serve(options))
    return 0


async def _serve(options: ServiceOptions) -> None:
    from esmkit.agent.mcp import serve_stdio
    from esmkit.agent.results import Results
    from esmkit.agent.tools import Session

    async with opened(options) as service:
        await serve_stdio(Session(service, Results()))


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("mcp")(mcp)
