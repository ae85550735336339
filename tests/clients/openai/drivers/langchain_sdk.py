"""LangChain's chat model, over chat completions and over responses."""

from langchain_core.messages import HumanMessage, ToolMessage
from langchain_openai import ChatOpenAI


class Chat:
    responses = False

    def model(self, at):
        return ChatOpenAI(model=at.model, api_key=at.key, base_url=at.base, use_responses_api=self.responses)

    def chat(self, at, prompt):
        reply = self.model(at).invoke(prompt)
        return reply.text, reply.usage_metadata["total_tokens"]

    def stream(self, at, prompt):
        for chunk in self.model(at).stream(prompt):
            yield chunk.text

    def tool(self, at, prompt, tool):
        schema = {"title": tool.name, "description": tool.description, **tool.parameters}
        model = self.model(at).bind_tools([schema])
        messages = [HumanMessage(prompt)]
        messages.append(model.invoke(messages))
        for call in messages[-1].tool_calls:
            messages.append(ToolMessage(tool.call(**call["args"]), tool_call_id=call["id"]))
        return model.invoke(messages).text


class Responses(Chat):
    responses = True
