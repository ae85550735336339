"""LiteLLM, as a library."""

import contextlib
import json

import litellm

STEPS_MAX = 3


def complete(at, messages, **more):
    return litellm.completion(model=f"openai/{at.model}", api_base=at.base, api_key=at.key, messages=messages, **more)


def asked(prompt):
    return [{"role": "user", "content": prompt}]


class Chat:
    def chat(self, at, prompt):
        reply = complete(at, asked(prompt))
        return reply.choices[0].message.content, reply.usage.total_tokens

    def stream(self, at, prompt):
        with contextlib.closing(complete(at, asked(prompt), stream=True)) as chunks:
            for chunk in chunks:
                yield chunk.choices[0].delta.content

    def tool(self, at, prompt, tool):
        function = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
        messages = asked(prompt)
        for _ in range(STEPS_MAX):
            chunks = list(complete(at, messages, tools=[{"type": "function", "function": function}], stream=True))
            message = litellm.stream_chunk_builder(chunks, messages=messages).choices[0].message
            if not message.tool_calls:
                return message.content
            messages.append(message.model_dump(exclude_none=True))
            for call in message.tool_calls:
                output = tool.call(**json.loads(call.function.arguments))
                messages.append({"role": "tool", "tool_call_id": call.id, "content": output})
