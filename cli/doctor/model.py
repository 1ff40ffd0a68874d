"""Checks of the model and its server: whether it answers, streams, calls tools and counts tokens."""

import asyncio
import difflib
import time
from contextlib import aclosing, suppress
from dataclasses import replace

from swarmchat.cli.doctor.check import Check, Checks
from swarmchat.cli.errors import CliError
from swarmchat.cli.models.discovery import offer_line
from swarmchat.cli.models.listing import CONNECT
from swarmchat.cli.settings.settings import Settings
from swarmchat.cli.settings.wiring import OPENAI_DEFAULT, make_endpoint
from swarmchat.cli.terminal.sanitize import one_line
from swarmchat.swarm.context.encodings import encoding_name, load_encoding
from swarmchat.swarm.errors import SwarmError
from swarmchat.swarm.models.context_windows import DEFAULT_CONTEXT_WINDOW, known_context_window
from swarmchat.swarm.models.discovery import find_servers
from swarmchat.swarm.models.openai_endpoint import ListedModel, OpenAIEndpoint
from swarmchat.swarm.probes.quirks import QUIRKS
from swarmchat.swarm.probes.runner import ProbeRun

_TIMEOUT = 30.0
"""Seconds that the server may be silent, at most: a doctor's visit is short."""
_PROBES = {"answer": "answers", "streaming": "streaming", "call": "tool calls", "usage": "usage"}
_EXCHANGES = ("plain", "count", "weather")


async def check_model(settings: Settings, *, offline: bool, usable: bool) -> list[Check]:
    """Look at the model that would answer. ``usable`` says that its key can be used."""
    checks = Checks("model")
    if not usable:
        name = settings.model or OPENAI_DEFAULT
        _check_window(checks, settings, name)
        checks.skipped("server", "the key cannot be used")
        await asyncio.to_thread(_check_tokenizer, checks, name)
        return checks.made
    try:
        brief = replace(settings, timeout=min(settings.timeout, _TIMEOUT), retries=0)
        model = make_endpoint(brief, most_retries=0)
    except (CliError, SwarmError, ValueError) as error:
        checks.failed("model", str(error))
        return checks.made
    try:
        if isinstance(model, OpenAIEndpoint):
            _check_window(checks, settings, model.name)
            if offline:
                checks.skipped("server", "--offline")
            else:
                await _check_server(checks, model)
        else:
            await _offer(checks, settings, offline)
    finally:
        with suppress(SwarmError):
            await model.close()
    await asyncio.to_thread(_check_tokenizer, checks, model.name)
    return checks.made


async def _offer(checks: Checks, settings: Settings, offline: bool) -> None:
    local = [] if offline else await asyncio.to_thread(find_servers, settings.discover)
    advice = offer_line(local[0]) if local else CONNECT
    checks.ok("model", f"demo: built in, scripted answers, no AI; {advice}")


def _check_window(checks: Checks, settings: Settings, name: str) -> None:
    if settings.max_context is not None:
        checks.ok("context", f"{settings.max_context:,} tokens, from {settings.origins.get('max_context')}")
    elif window := known_context_window(name):
        checks.ok("context", f"{window:,} tokens: {one_line(name, 60)} is known")
    else:
        advice = "set max_context to the window that the server gives the model"
        checks.warning("context", f"{DEFAULT_CONTEXT_WINDOW:,} tokens are assumed: the model is not known", advice)


async def _check_server(checks: Checks, model: OpenAIEndpoint) -> None:
    # What is imported for the first request would count as the server's time.
    await asyncio.to_thread(model.warm_up)
    started = time.perf_counter()
    try:
        listed = await model.list_models()
    except SwarmError as error:
        if error.exit_code != 66:
            checks.failed("server", str(error))
            return
        # A server without that list may chat all the same.
        probed = Checks(checks.group)
        await _probe(probed, model)
        if any(check.status == "failed" for check in probed.made):
            checks.failed("server", str(error))
        else:
            found = f"{model.address} chats, and does not list its models"
            checks.warning("server", found, "their names are in its documentation")
            checks.made += probed.made
    else:
        milliseconds = (time.perf_counter() - started) * 1000
        checks.ok("server", f"{model.address} answers in {milliseconds:.0f} ms")
        _check_listed(checks, model.name, listed)
        await _probe(checks, model)


def _check_listed(checks: Checks, name: str, listed: list[ListedModel]) -> None:
    names = [each.id for each in listed]
    if name in names:
        checks.ok("model", f"{one_line(name, 100)} is there")
        return
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    known = ", ".join(one_line(each, 60) for each in names[:5]) + (", …" if len(names) > 5 else "")
    advice = f"did you mean {one_line(near[0], 60)}?" if near else f"it has {known}"
    advice = f"{advice} All of them: swarmchat models list" if names else "install a model on the server"
    checks.warning("model", f"{one_line(name, 100)} is not in the server's list", advice)


async def _probe(checks: Checks, model: OpenAIEndpoint) -> None:
    try:
        async with aclosing(ProbeRun(model, quick=True, only=_EXCHANGES).run()) as results:
            async for result in results:
                name = _PROBES.get(result.name)
                if name is None:
                    continue
                advice = "; ".join(QUIRKS[quirk].advice for quirk in result.quirks)
                if result.status == "ok":
                    checks.ok(name, result.seen)
                elif result.status == "skipped":
                    checks.skipped(name, result.seen)
                elif result.status == "failed" and result.name == "answer":
                    checks.failed(name, result.seen, advice)
                else:
                    checks.warning(name, result.seen, f"{advice}; more: swarmchat models test".removeprefix("; "))
    except SwarmError as error:
        checks.failed("answers", str(error))


def _check_tokenizer(checks: Checks, name: str) -> None:
    encoding = encoding_name(name)
    try:
        load_encoding(encoding)
    except SwarmError as error:
        checks.failed("tokenizer", str(error))
    else:
        checks.ok("tokenizer", f"{encoding}, from an installed file whose sha256 is right: needs no network")
