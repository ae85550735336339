"""OpenAI's own SDK for Python, over chat completions and over responses. `at` is where to: its base, key and model."""

import json

from openai import OpenAI

STEPS_MAX = 3


def client(at):
    return OpenAI(base_url=at.base, api_key=at.key)


def asked(at, prompt):
    return {"model": at.model, "messages": [{"role": "user", "content": prompt}]}


class Chat:
    def models(self, at):
        models = client(at).models
        return {"ids": [model.id for model in models.list()], "found": models.retrieve(at.model).id}

    def chat(self, at, prompt):
        reply = client(at).chat.completions.create(**asked(at, prompt))
        return reply.choices[0].message.content, reply.usage.total_tokens

    def stream(self, at, prompt):
        usage = {"include_usage": True}
        with client(at).chat.completions.create(**asked(at, prompt), stream=True, stream_options=usage) as chunks:
            for chunk in chunks:
                yield chunk.choices[0].delta.content if chunk.choices else None

    def tool(self, at, prompt, tool):
        function = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
        ask = asked(at, prompt) | {"tools": [{"type": "function", "function": function}]}
        for _ in range(STEPS_MAX):
            with client(at).beta.chat.completions.stream(**ask) as events:
                message = events.get_final_completion().choices[0].message
            if not message.tool_calls:
                return message.content
            ask["messages"].append(message.model_dump(exclude_none=True))
            for call in message.tool_calls:
                output = tool.call(**json.loads(call.function.arguments))
                ask["messages"].append({"role": "tool", "tool_call_id": call.id, "content": output})


class Responses:
    def chat(self, at, prompt):
        response = client(at).responses.create(model=at.model, input=prompt)
        return response.output_text, response.usage.total_tokens

    def stream(self, at, prompt):
        with client(at).responses.stream(model=at.model, input=prompt) as events:
            for event in events:
                if event.type == "error":
                    raise RuntimeError(event.message)
                yield event.delta if event.type == "response.output_text.delta" else None

    def tool(self, at, prompt, tool):
        offered = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
        ask = {"model": at.model, "tools": [{"type": "function", "strict": False, **offered}]}
        first = client(at).responses.create(**ask, input=prompt)
        call = next(item for item in first.output if item.type == "function_call")
        output = tool.call(**json.loads(call.arguments))
        items = [{"type": "function_call_output", "call_id": call.call_id, "output": output}]
        return client(at).responses.create(**ask, input=items, previous_response_id=first.id).output_text
