"""An MCP server by URL, as people write one with the official library for Python; it prints its own address.

Usage: mcp_server.py PORT, where 0 is any. It speaks both protocols, so whoever asks decides.
"""

import sys

import anyio
from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError

server = MCPServer("weather", instructions="Ask for one town at a time.")
calls = 0


@server.tool()
async def temperature(town: str) -> str:
    """The temperature in a town."""
    return f"20 degrees in {town}"


@server.tool()
async def climb(steps: int, ctx: Context) -> str:
    """Climbs step by step, and tells of each."""
    for step in range(steps):
        await anyio.sleep(0.2)
        await ctx.report_progress(step + 1, steps)
    return f"{steps} steps up"


@server.tool()
async def count() -> dict[str, int]:
    """How often it was called."""
    global calls
    calls += 1
    return {"calls": calls}


@server.tool()
async def broken() -> str:
    """Fails."""
    raise ToolError("the gauge is broken")


server.run("streamable-http", port=int(sys.argv[1]))
