"""``swarmchat chat``: from the command line to a session."""

import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from swarmchat.cli import wiring
from swarmchat.cli.errors import UsageError
from swarmchat.cli.guard import Work, can_move, guarded, wants_colour
from swarmchat.cli.interrupts import run_until_signal
from swarmchat.cli.render import Renderer
from swarmchat.cli.settings import Settings
from swarmchat.swarm.errors import SwarmError
from swarmchat.swarm.index import latest_session
from swarmchat.swarm.session import Session


def run_chat(flags: Mapping[str, Any], words: list[str], *, session: str | None, resume: bool, strict: bool) -> int:
    """Run the command and return its exit code. Whatever goes wrong is one line on stderr."""

    def prepare() -> Work:
        if session is not None and resume:
            raise UsageError("-s names a session and -c takes the last one: give one of them")
        if session is not None and not session.strip():
            raise UsageError("-s needs the name of a session")
        settings = wiring.read_settings(flags)
        interactive = not words and wiring.is_terminal()
        prompt = None if interactive else _read_prompt(words)
        # At a prompt Ctrl-C is a key, and in an answer of a chat it stops that only.
        signals = ("SIGTERM", "SIGHUP") if interactive else ("SIGINT", "SIGTERM", "SIGHUP")
        return run_until_signal(_chat(settings, prompt, name=session, resume=resume, strict=strict), *signals)

    return guarded(prepare)


async def _chat(settings: Settings, prompt: str | None, *, name: str | None, resume: bool, strict: bool) -> None:
    backend = wiring.make_backend(settings)
    swarm = wiring.make_swarm(settings)
    model = wiring.make_model(settings, interactive=prompt is None, swarm=swarm)
    renderer = Renderer(
        remarks=sys.stdout if prompt is None else sys.stderr,
        chat=prompt is None,
        colour=wants_colour(sys.stdout if prompt is None else sys.stderr),
        live=prompt is None and can_move(sys.stdout),
    )
    try:
        if resume:
            last = await latest_session(backend, settings.client_name)
            name = last.id if last else None
            if last is None:
                renderer.remark(
                    f"{settings.client_name} has no session on {wiring.backend_name(settings)}; a new one begins"
                )
        async with await Session.open(
            backend,
            model,
            client=settings.client_name,
            name=name,
            swarm=swarm,
            settings=wiring.session_settings(settings),
            models=lambda each: wiring.make_model(settings, interactive=prompt is None, swarm=swarm, name=each),
        ) as session:
            if settings.locale is not None:
                await session.primitives.memory.set("locale", settings.locale)
            if prompt is not None:
                from swarmchat.cli.once import run_once

                await run_once(session, prompt, renderer, strict=strict)
            else:
                await _talk(session, settings, renderer)
    finally:
        with suppress(SwarmError):
            await model.close()
        await wiring.close_swarm(swarm)
        await backend.close()


async def _talk(session: Session, settings: Settings, renderer: Renderer) -> None:
    from swarmchat.cli.farewell import farewell
    from swarmchat.cli.repl import Repl, greeting

    name = wiring.backend_name(settings)
    for line in [*greeting(session, name), *wiring.project_settings(settings)]:
        renderer.remark(line)
    repl = Repl(
        session,
        renderer,
        backend=name,
        history=wiring.prompts_file(settings),
        warm_up=lambda: wiring.warm_up(session.model),
        colour=wants_colour(sys.stdout),
    )
    try:
        await repl.run()
    finally:
        if session.turns:
            renderer.verbatim(farewell(session, settings))


def _read_prompt(words: list[str]) -> str:
    from swarmchat.cli.once import read_prompt

    return read_prompt(words)
