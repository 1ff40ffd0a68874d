"""Checks of the model and its server: whether it answers, streams, calls tools and counts tokens."""

import asyncio
import difflib
import time
from contextlib import aclosing, suppress
from dataclasses import replace

from swarmchat.cli.doctor.check_result import Checks, Status
from swarmchat.cli.errors import CliError
from swarmchat.cli.models.listing import CONNECT, server_hint
from swarmchat.cli.settings.models import OPENAI_DEFAULT, choose_model, make_endpoint
from swarmchat.cli.settings.settings import Settings
from swarmchat.cli.terminal.sanitize import one_line
from swarmchat.swarm.context.encodings import encoding_name, load_encoding
from swarmchat.swarm.errors import SwarmError
from swarmchat.swarm.models.context_windows import DEFAULT_CONTEXT_WINDOW, known_context_window
from swarmchat.swarm.models.discovery import find_servers
from swarmchat.swarm.models.openai_endpoint import OpenAIEndpoint
from swarmchat.swarm.probes.results import QUIRKS
from swarmchat.swarm.probes.runner import ProbeRun

_TIMEOUT, _ANSWER_TIME = 30.0, 60.0
"""Seconds that the server may be silent, and that an answer may take, at most: a health check should be quick."""
_PROBES = {"answer": "answers", "streaming": "streaming", "call": "tool calls", "usage": "usage"}
"""The probes that are shown, and the names of their checks."""
_EXCHANGES = ("plain", "count", "weather")


async def check_model(settings: Settings, *, offline: bool, usable: bool) -> Checks:
    """Check the model that would answer. ``usable`` tells whether its key can be used."""
    checks = Checks("model")
    try:
        settings = settings if offline or not usable else await choose_model(settings)
    except (CliError, SwarmError) as error:
        checks.add("failed", "model", str(error))
        return checks
    settings = settings.for_model(settings.model)
    if not usable:
        name = settings.of_this_model.get("model") or settings.model or OPENAI_DEFAULT
        _check_window(checks, settings, name)
        checks.add("skipped", "server", "the key cannot be used")
        await asyncio.to_thread(_check_tokenizer, checks, name)
        return checks
    try:
        answer_time = min(settings.max_answer_time, _ANSWER_TIME)
        brief = replace(settings, timeout=min(settings.timeout, _TIMEOUT), max_answer_time=answer_time, retries=0)
        model = make_endpoint(brief, most_retries=0)
    except (CliError, SwarmError, ValueError) as error:
        checks.add("failed", "model", str(error))
        return checks
    try:
        if not isinstance(model, OpenAIEndpoint):
            servers = [] if offline else await asyncio.to_thread(find_servers, settings.discover)
            hint = server_hint(servers[0]) if servers else CONNECT
            checks.add("ok", "model", f"demo: built in, scripted answers, no AI; {hint}")
        else:
            if not offline:
                await model.discover()
            _check_window(checks, settings, model.served_as, model.facts.window)
            if offline:
                checks.add("skipped", "server", "--offline")
            else:
                await _check_server(checks, model)
    finally:
        with suppress(SwarmError):
            await model.close()
    await asyncio.to_thread(_check_tokenizer, checks, model.name)
    return checks


def _check_window(checks: Checks, settings: Settings, name: str, from_server: int | None = None) -> None:
    if settings.max_context is not None:
        checks.add("ok", "context", f"{settings.max_context:,} tokens, from {settings.origins.get('max_context')}")
    elif from_server is not None:
        checks.add("ok", "context", f"{from_server:,} tokens, as the server says")
    elif window := known_context_window(name):
        checks.add("ok", "context", f"{window:,} tokens, the known window of {one_line(name, 60)}")
    else:
        assumed = f"{DEFAULT_CONTEXT_WINDOW:,} tokens are assumed: the window of {one_line(name, 60)} is unknown"
        checks.add("warning", "context", assumed, "set max_context to the model's window on the server")


async def _check_server(checks: Checks, model: OpenAIEndpoint) -> None:
    try:
        # What is imported for the first request would count as the server's time.
        await asyncio.to_thread(model.warm_up)
        started = time.perf_counter()
        names = [each.id for each in await model.list_models()]
    except SwarmError as error:
        # Some servers chat but have no list of models.
        probed = await _probe(model) if error.exit_code == 66 else Checks("model")
        if not probed or any(check.status == "failed" for check in probed):
            checks.add("failed", "server", str(error))
        else:
            problem = f"{model.address} answers, but does not list its models"
            checks.add("warning", "server", problem, "find their names in its documentation")
            checks += probed
        return
    checks.add("ok", "server", f"{model.address} answers in {(time.perf_counter() - started) * 1000:.0f} ms")
    nearest = difflib.get_close_matches(model.served_as, names, n=1, cutoff=0.5)
    first = ", ".join(one_line(each, 60) for each in names[:5]) + (", …" if len(names) > 5 else "")
    hint = f"did you mean {one_line(nearest[0], 60)}?" if nearest else f"available: {first};"
    advice = f"{hint} list all: swarmchat models list" if names else "install a model on the server"
    name = one_line(model.served_as, 100)
    problem = f"{name} is not in the server's list"
    checks.judge(model.served_as in names, "model", f"{name} is available", problem=problem, advice=advice)
    checks += await _probe(model)


async def _probe(model: OpenAIEndpoint) -> Checks:
    """Run a few probes, and return a check for each that is shown."""
    checks = Checks("model")
    try:
        async with aclosing(ProbeRun(model, quick=True, only=_EXCHANGES).run()) as results:
            async for result in results:
                if result.name not in _PROBES:
                    continue
                status: Status = "warning"
                advice = "; ".join([*(QUIRKS[quirk] for quirk in result.quirks), "more: swarmchat models test"])
                if result.status in ("ok", "skipped"):
                    status, advice = result.status, ""
                elif (result.status, result.name) == ("failed", "answer"):
                    status = "failed"
                checks.add(status, _PROBES[result.name], result.seen, advice)
    except SwarmError as error:
        checks.add("failed", "answers", str(error))
    if model.adaptations:
        checks.add("ok", "form", "adapted to the server: " + "; ".join(model.adaptations.values()))
    return checks


def _check_tokenizer(checks: Checks, name: str) -> None:
    encoding = encoding_name(name)
    try:
        load_encoding(encoding)
    except SwarmError as error:
        checks.add("failed", "tokenizer", str(error))
    else:
        checks.add("ok", "tokenizer", f"{encoding}: installed with the right sha256; needs no network")
