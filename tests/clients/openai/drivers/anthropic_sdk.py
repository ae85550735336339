"""Anthropic's SDK for Python, over messages. Its base URL is without `/v1`."""

import anthropic

MAX_TOKENS = 1_000
STEPS_MAX = 3


def client(at):
    return anthropic.Anthropic(base_url=at.base.removesuffix("/v1"), api_key=at.key)


def asked(at, prompt):
    return {"model": at.model, "max_tokens": MAX_TOKENS, "messages": [{"role": "user", "content": prompt}]}


def text_of(message):
    return "".join(block.text for block in message.content if block.type == "text")


class Messages:
    def models(self, at):
        models = client(at).models
        return {"ids": [model.id for model in models.list()], "found": models.retrieve(at.model).id}

    def chat(self, at, prompt):
        message = client(at).messages.create(**asked(at, prompt))
        return text_of(message), message.usage.input_tokens + message.usage.output_tokens

    def stream(self, at, prompt):
        with client(at).messages.stream(**asked(at, prompt)) as stream:
            yield from stream.text_stream

    def tool(self, at, prompt, tool):
        offered = {"name": tool.name, "description": tool.description, "input_schema": tool.parameters}
        ask = asked(at, prompt) | {"tools": [offered]}
        for _ in range(STEPS_MAX):
            with client(at).messages.stream(**ask) as stream:
                message = stream.get_final_message()
            if message.stop_reason != "tool_use":
                return text_of(message)
            calls = [block for block in message.content if block.type == "tool_use"]
            results = [{"type": "tool_result", "tool_use_id": call.id, "content": tool.call(**call.input)} for call in calls]
            ask["messages"] += [{"role": "assistant", "content": message.content}, {"role": "user", "content": results}]
