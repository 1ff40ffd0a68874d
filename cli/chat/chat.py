"""``swarmchat chat``: from the command line to a session."""

import os
import sys
from collections.abc import Mapping
from typing import Any

from swarmchat.cli.app.command_runner import Work, run_to_exit_code
from swarmchat.cli.app.signals import ignore_interrupts, run_until_signal
from swarmchat.cli.chat.opener import check_names, opening
from swarmchat.cli.errors import UsageError
from swarmchat.cli.render.renderer import Renderer
from swarmchat.cli.settings import wiring
from swarmchat.cli.settings.settings import Settings
from swarmchat.cli.slash.chat_context import ChatContext
from swarmchat.cli.terminal.capabilities import can_move, is_terminal, wants_colour
from swarmchat.swarm.models.base import Model


def run_chat(
    flags: Mapping[str, Any], words: list[str], output: str, *, session: str | None, resume: bool, strict: bool
) -> int:
    """Run the command and return its exit code. Whatever goes wrong is one line on stderr."""

    def prepare() -> Work:
        check_names(session, resume)
        if not words and is_terminal():
            if output != "text":
                raise UsageError("--output goes with a PROMPT: a chat at a terminal has none")
            # At a prompt Ctrl-C is a key, and in an answer it stops that only.
            return run_until_signal(
                _chat(wiring.apply_settings(flags), name=session, resume=resume), "SIGTERM", "SIGHUP"
            )
        from swarmchat.cli.chat.batch import run_steps
        from swarmchat.cli.chat.script import Step
        from swarmchat.cli.chat.stdin import read_prompt

        return run_steps(flags, [Step(read_prompt(words))], output, session=session, resume=resume, strict=strict)

    return run_to_exit_code(prepare)


async def _chat(settings: Settings, *, name: str | None, resume: bool) -> None:
    async with opening(settings, interactive=True) as opener:
        if settings.plain:
            # All that looks at the terminal does so by its name, the prompt too.
            os.environ["TERM"] = "dumb"
        colour = wants_colour(sys.stdout)
        renderer = Renderer(remarks=sys.stdout, chat=True, colour=colour, live=can_move(sys.stdout))
        chat = await opener.open_chat(name, resume, renderer.remark)
        await _talk(chat, renderer)


async def _talk(chat: ChatContext, renderer: Renderer) -> None:
    """Chat at the prompt until the user leaves; close the session that is open then."""
    from swarmchat.cli.chat.banner import greeting
    from swarmchat.cli.chat.repl import Repl

    settings, model = chat.settings, chat.session.model
    name = wiring.backend_name(settings)
    for line in [*greeting(chat.session, name), *wiring.project_settings(settings)]:
        renderer.remark(line)
    repl = Repl(
        chat,
        renderer,
        backend=name,
        history=wiring.prompts_file(settings),
        warm_up=lambda: _warm_up(model),
        look_around=lambda: _offers(settings),
        colour=wants_colour(sys.stdout),
    )
    try:
        await repl.run()
    finally:
        # Who hammers on Ctrl-C to leave must not stop what is stored and given back now.
        ignore_interrupts()
        try:
            if chat.session.turns:
                from swarmchat.cli.chat.banner import resume_hint

                renderer.verbatim(resume_hint(chat.session, settings))
        finally:
            await chat.session.close()


def _warm_up(model: Model) -> None:
    import swarmchat.cli.markdown.stream
    import swarmchat.cli.render.live_tail
    import swarmchat.cli.slash.builtin  # noqa: F401 - what shows an answer

    wiring.warm_up(model)


def _offers(settings: Settings) -> list[str]:
    from swarmchat.cli.models.listing import server_hints

    return server_hints(settings)
