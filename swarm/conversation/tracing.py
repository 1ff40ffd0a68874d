"""OpenTelemetry spans for turns, requests, tools, handoffs and commits, following the GenAI semantic conventions.

https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/ and gen-ai-agent-spans/. Only opentelemetry-api is
needed (the extra ``otel``): without an SDK, spans go nowhere. A turn is an async generator, whose steps may run in
different contexts, so its span is never the current one: the others name it as their parent.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from swarmchat.swarm.common.encoding import decode_json, encode_json
from swarmchat.swarm.common.messages import calls_of, texts_of
from swarmchat.swarm.errors import DefinitionError
from swarmchat.swarm.models.base import Answer, Model, ModelRequest
from swarmchat.swarm.persistence.session_index import SessionInfo
from swarmchat.swarm.tools.context import Outcome
from swarmchat.swarm.version import VERSION

if TYPE_CHECKING:
    from opentelemetry.trace import Span, TracerProvider

_PARAMETERS = {
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
    "max_tokens": "gen_ai.request.max_tokens",
    "max_completion_tokens": "gen_ai.request.max_tokens",
    "seed": "gen_ai.request.seed",
}


class Tracing:
    """Traces sessions with ``provider``; default: the global one. ``content`` adds messages, arguments and results.

    Raises DefinitionError if opentelemetry-api is not installed.
    """

    def __init__(self, *, content: bool = False, provider: "TracerProvider | None" = None) -> None:
        try:
            from opentelemetry import trace
        except ImportError as error:
            raise DefinitionError(
                "Tracing needs opentelemetry-api, which is not installed: pip install 'swarmchat[otel]'"
            ) from error
        self.content = content
        self.tracer = trace.get_tracer("swarmchat", VERSION, provider)


class Trace:
    """The spans of one conversation; none without ``tracing``."""

    def __init__(self, tracing: Tracing | None) -> None:
        self._tracing = tracing
        self._turn: Span | None = None
        self._of_task = False

    def of_task(self) -> "Trace":
        """Return the trace of a task: its turn is in the span of the call that gives the task."""
        trace = Trace(self._tracing)
        trace._of_task = True
        return trace

    @contextmanager
    def turn(self, agent: str, info: SessionInfo) -> Iterator[None]:
        """Trace a turn that begins with ``agent``."""
        if self._tracing is None:
            yield
            return
        attributes = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": agent}
        attributes |= {"gen_ai.conversation.id": info.id, "gen_ai.provider.name": "swarmchat"}
        with self._span(f"invoke_agent {agent}", attributes, nested=self._of_task) as span:
            self._turn = span
            try:
                yield
            finally:
                self._turn = None

    @contextmanager
    def request(self, model: Model, request: ModelRequest, answers: list[Answer], *, of_tool: bool) -> Iterator[None]:
        """Trace a request, whose answer is in ``answers`` at the end."""
        if self._tracing is None:
            yield
            return
        provider = "openai" if type(model).__name__ == "OpenAIModel" else "swarmchat"
        attributes: dict[str, Any] = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": provider}
        attributes["gen_ai.request.model"] = request.model
        for name, attribute in _PARAMETERS.items():
            if isinstance(value := request.parameters.get(name), int | float):
                attributes[attribute] = value
        if self._tracing.content:
            attributes["gen_ai.input.messages"] = _json(
                [_content(each) for each in request.decoded_messages(data=False)]
            )
        with self._span(f"chat {request.model}", attributes, client=True, nested=of_tool) as span:
            yield
            for answer in answers:
                span.set_attributes(self._answered(answer, request.model))

    def _answered(self, answer: Answer, model: str) -> Mapping[str, Any]:
        usage = answer.usage or {}
        attributes = {
            "gen_ai.response.model": answer.fallback or answer.model or model,
            "gen_ai.response.finish_reasons": [answer.finish],
            "gen_ai.usage.input_tokens": usage.get("prompt_tokens"),
            "gen_ai.usage.output_tokens": usage.get("completion_tokens"),
        }
        if self._tracing is not None and self._tracing.content:
            message = {**_content(answer.to_message()), "finish_reason": answer.finish}
            attributes["gen_ai.output.messages"] = _json([message])
        return {name: value for name, value in attributes.items() if value is not None}

    @contextmanager
    def tool(self, outcome: Outcome) -> Iterator[None]:
        """Trace a call, whose result is in ``outcome`` at the end. Its span is the current one for the tool."""
        if self._tracing is None:
            yield
            return
        from opentelemetry.trace import Status, StatusCode, use_span

        call = outcome.call
        attributes = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": call.name}
        attributes |= {"gen_ai.tool.call.id": call.id, "gen_ai.tool.type": "function"}
        if self._tracing.content:
            attributes["gen_ai.tool.call.arguments"] = call.arguments
        with self._span(f"execute_tool {call.name}", attributes) as span, use_span(span, end_on_exit=False):
            yield
            if self._tracing.content:
                span.set_attribute("gen_ai.tool.call.result", outcome.result)
            if outcome.status != "ok":
                kind = outcome.status if outcome.error is None else type(outcome.error).__name__
                span.set_attribute("error.type", kind)
                span.set_status(Status(StatusCode.ERROR))

    def handoff(self, source: str, target: str) -> None:
        """Trace that ``target`` has taken over from ``source``."""
        if self._tracing is not None:
            attributes = {"swarmchat.handoff.source": source, "gen_ai.agent.name": target}
            with self._span(f"handoff {target}", attributes):
                pass

    @contextmanager
    def commit(self, records: int) -> Iterator[None]:
        """Trace a commit of so many new records."""
        if self._tracing is None:
            yield
            return
        with self._span("commit", {"swarmchat.commit.records": records}):
            yield

    @contextmanager
    def _span(
        self, name: str, attributes: Mapping[str, Any], *, client: bool = False, nested: bool = False
    ) -> "Iterator[Span]":
        """Trace what happens in a span of the turn; with ``nested``, in one of what is current."""
        from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context

        assert self._tracing is not None
        parent = None if nested or self._turn is None else set_span_in_context(self._turn)
        kind = SpanKind.CLIENT if client else SpanKind.INTERNAL
        span = self._tracing.tracer.start_span(name, parent, kind, attributes)
        try:
            yield span
        except BaseException as error:
            span.set_attribute("error.type", type(error).__name__)
            if isinstance(error, Exception):
                # The message may contain text of the user or the model.
                span.set_status(Status(StatusCode.ERROR, str(error) if self._tracing.content else None))
            raise
        finally:
            span.end()


def _json(value: object) -> str:
    return encode_json(value).decode()


def _content(message: Mapping[str, Any]) -> dict[str, Any]:
    """Return a chat message in the form of the conventions."""
    texts = [{"type": "text", "content": text} for text in texts_of(message)]
    if message.get("role") == "tool":
        response = "\n".join(text["content"] for text in texts)
        parts = [{"type": "tool_call_response", "id": message.get("tool_call_id"), "response": response}]
        return {"role": "tool", "parts": parts}
    calls = [
        {"type": "tool_call", "id": id_, "name": name, "arguments": _read(text)}
        for id_, name, text in calls_of(message)
    ]
    return {"role": message.get("role"), "parts": [*texts, *calls]}


def _read(arguments: str) -> Any:
    try:
        return decode_json(arguments)
    except ValueError:
        return arguments
