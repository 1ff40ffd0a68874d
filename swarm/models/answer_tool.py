"""Read an answer that the model gave as a tool call: its arguments become the text of the answer."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace

from swarmchat.swarm.common.names import OUTPUT_TOOL
from swarmchat.swarm.models.base import Answer, ModelEvent, TextChunk


async def read_answer_tool(
    events: AsyncGenerator[ModelEvent, None], expected: Callable[[], bool]
) -> AsyncGenerator[ModelEvent, None]:
    """Yield ``events`` with the answer as text. What the model wrote beside the call is left out.

    Where the call is ``expected``, text comes when the answer is whole: only its end shows whether it is the answer.
    """
    async with aclosing(events):
        async for event in events:
            if isinstance(event, TextChunk) and expected():
                continue
            yield _as_text(event) if isinstance(event, Answer) else event


def _as_text(answer: Answer) -> Answer:
    others = tuple(call for call in answer.tool_calls if call.name != OUTPUT_TOOL)
    output_calls = [call for call in answer.tool_calls if call.name == OUTPUT_TOOL]
    if not output_calls:
        return answer
    if others:
        # An answer beside calls was written before their results were known.
        return replace(answer, tool_calls=others)
    finish = "stop" if answer.finish == "tool_calls" else answer.finish
    return replace(answer, text=output_calls[0].arguments, tool_calls=(), finish=finish)
