"""OpenAI's agents SDK, over chat completions and over responses."""

import asyncio
import json

from agents import (
    Agent,
    FunctionTool,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    Runner,
    set_tracing_disabled,
)
from openai import AsyncOpenAI

set_tracing_disabled(True)


class Chat:
    Model = OpenAIChatCompletionsModel

    def agent(self, at, tools=()):
        client = AsyncOpenAI(base_url=at.base, api_key=at.key)
        return Agent(name="Tester", model=self.Model(model=at.model, openai_client=client), tools=list(tools))

    def chat(self, at, prompt):
        result = Runner.run_sync(self.agent(at), prompt)
        return result.final_output, result.context_wrapper.usage.total_tokens

    def stream(self, at, prompt):
        # What ends this generator ends the loop, and with it the request.
        with asyncio.Runner() as loop:
            pieces = self.pieces(at, prompt)
            while True:
                try:
                    yield loop.run(anext(pieces))
                except StopAsyncIteration:
                    return

    async def pieces(self, at, prompt):
        async for event in Runner.run_streamed(self.agent(at), prompt).stream_events():
            if event.type == "raw_response_event" and event.data.type == "response.output_text.delta":
                yield event.data.delta

    def tool(self, at, prompt, tool):
        async def call(_, arguments):
            return tool.call(**json.loads(arguments))

        offered = FunctionTool(tool.name, tool.description, tool.parameters, call, strict_json_schema=False)
        return Runner.run_sync(self.agent(at, [offered]), prompt).final_output


class Responses(Chat):
    Model = OpenAIResponsesModel
