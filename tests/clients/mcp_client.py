"""The official Python client of the Model Context Protocol against one server; prints what it saw as JSON.

Usage: mcp_client.py URL KEY MODE, where MODE is auto, legacy or a version.
"""

import asyncio
import json
import sys

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client


async def main(url: str, key: str, mode: str) -> None:
    heard = []

    async def note(progress, total, message):
        heard.append([progress, message])

    async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {key}"}) as http:
        async with Client(streamable_http_client(url, http_client=http), mode=mode) as client:
            tools = (await client.list_tools()).tools
            agents = await client.call_tool("list_agents", {})
            asked = {"agent": "ala", "message": "Summarise the periodic table in 3 sentences."}
            answer = await client.call_tool("ask_agent", asked, progress_callback=note)
            session = answer.structured_content["sessionId"]
            read = await client.call_tool("read_session", {"sessionId": session})
            found = await client.call_tool("search_history", {"query": "periodic table"})
            failed = await client.call_tool("ask_agent", {"agent": "nobody", "message": "Hi"})
            print(
                json.dumps(
                    {
                        "version": client.protocol_version,
                        "server": client.server_info.name,
                        "tools": [tool.name for tool in tools],
                        "agents": agents.structured_content,
                        "answer": answer.structured_content,
                        "read": read.structured_content,
                        "found": found.structured_content,
                        "failed": [failed.is_error, failed.content[0].text],
                        "progress": heard,
                    }
                )
            )


asyncio.run(main(*sys.argv[1:]))
