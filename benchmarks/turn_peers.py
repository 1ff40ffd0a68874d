"""Turns of other libraries, run in workers, set up as their documentation says, without streaming."""

import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

from openai import AsyncOpenAI

from benchmarks.corpus import MODEL, conversation
from benchmarks.server import ANSWER
from benchmarks.turn_variants import QUESTION, Once, growth

_numbers = count()


@asynccontextmanager
async def openai_agents(base_url: str, place: str, length: int, limit: int | None = None) -> AsyncIterator[Once]:
    """Give a turn of openai-agents with its SQLiteSession, or its RedisSession where ``place`` is a Redis URL.

    ``limit``: how many items of the history are read and sent.
    """
    from agents import Agent, OpenAIChatCompletionsModel, Runner, SessionSettings, SQLiteSession
    from agents.extensions.memory import RedisSession

    client = AsyncOpenAI(base_url=base_url, api_key="none", max_retries=0)
    agent = Agent(name="assistant", instructions="Be brief.", model=OpenAIChatCompletionsModel(MODEL, client))
    messages: list[Any] = [record.data["message"] for record in conversation(length)]
    settings = SessionSettings(limit=limit)

    async def begin() -> Any:
        name = f"turn-{next(_numbers)}-{length}-{time.time_ns()}"
        if place.startswith(("redis:", "unix:")):
            session: Any = RedisSession.from_url(name, url=place, session_settings=settings)
        else:
            session = SQLiteSession(name, place, session_settings=settings)
        await session.add_items(messages)
        return session

    session, turns = await begin(), 0

    async def once() -> float:
        nonlocal session, turns
        turns += 1
        if turns % growth(length) == 0:
            session = await begin()
        started = time.process_time()
        result = await Runner.run(agent, QUESTION, session=session)
        seconds = time.process_time() - started
        assert result.final_output == ANSWER
        return seconds

    yield once
    await client.close()


@asynccontextmanager
async def langgraph(base_url: str, place: str, length: int) -> AsyncIterator[Once]:
    """Give a turn of LangGraph's ReAct agent with its SqliteSaver."""
    from langchain_openai import ChatOpenAI
    from langgraph.checkpoint.sqlite import SqliteSaver
    from langgraph.prebuilt import create_react_agent

    connection = sqlite3.connect(place, check_same_thread=False)
    model = ChatOpenAI(model=MODEL, base_url=base_url, api_key="none", max_retries=0)
    graph = create_react_agent(model, [], prompt="Be brief.", checkpointer=SqliteSaver(connection))
    messages = [record.data["message"] for record in conversation(length)]

    def begin() -> Any:
        config = {"configurable": {"thread_id": f"turn-{next(_numbers)}-{length}-{time.time_ns()}"}}
        graph.update_state(config, {"messages": messages}, as_node="agent")
        return config

    config, turns = begin(), 0

    async def once() -> float:
        nonlocal config, turns
        turns += 1
        if turns % growth(length) == 0:
            config = begin()
        started = time.process_time()
        result = graph.invoke({"messages": [{"role": "user", "content": QUESTION}]}, config)
        seconds = time.process_time() - started
        assert result["messages"][-1].content == ANSWER
        return seconds

    yield once
    connection.close()
