"""Run a chat at a terminal, or answer one question if there is a PROMPT or no terminal."""

import os
import sys
from collections.abc import Mapping
from functools import partial
from typing import Any

from swarmchat.cli.app.command_runner import Work
from swarmchat.cli.app.signals import ignore_interrupts, run_until_signal
from swarmchat.cli.attachments.paths import expand, mention
from swarmchat.cli.chat.opener import check_names, opening
from swarmchat.cli.errors import UsageError
from swarmchat.cli.render.renderer import Renderer
from swarmchat.cli.settings import wiring
from swarmchat.cli.settings.credentials import traceback_of
from swarmchat.cli.terminal.capabilities import can_move, is_terminal, wants_colour


def prepare_chat(
    flags: Mapping[str, Any],
    words: list[str],
    files: list[str],
    output: str,
    *,
    session: str | None,
    resume: bool,
    strict: bool,
) -> Work:
    """Return the work of `swarmchat chat`. Raises UsageError for flags that cannot be combined."""
    at_prompt = not words and is_terminal()
    check_names(session, resume, at_prompt=at_prompt)
    if at_prompt:
        if output != "text":
            raise UsageError("--output needs a PROMPT: a chat at a terminal cannot use it")
        draft = "".join(f"{mention(str(path))} " for path in expand(files))
        # Not SIGINT: at the prompt Ctrl-C is a key, and during an answer it stops only that.
        return run_until_signal(_chat(flags, session, resume, draft), "SIGTERM", "SIGHUP")
    from swarmchat.cli.chat.batch import run_script
    from swarmchat.cli.chat.script import ask_once

    settings = wiring.apply_settings(flags)
    question = ask_once(words, files, settings.max_input)
    return run_script(settings, question, output, session=session, resume=resume, strict=strict)


async def _chat(flags: Mapping[str, Any], name: str | None, resume: bool, draft: str) -> None:
    """Chat at the prompt, which begins with ``draft``, until the user leaves; close the session that is open then."""
    settings = wiring.apply_settings(flags, tell=False)
    if settings.withheld:
        from swarmchat.cli.app.consent import ask_consent

        if await ask_consent(settings):
            settings = wiring.apply_settings(flags)
    first = "/resume" if name == "" else ""
    name = name or None
    async with opening(settings, name, resume, interactive=True) as opener:
        settings = opener.settings
        if settings.plain:
            # All checks of the terminal's abilities read TERM, including prompt_toolkit's.
            os.environ["TERM"] = "dumb"
        renderer = Renderer(remarks=sys.stdout, chat=True, colour=wants_colour(sys.stdout), live=can_move(sys.stdout))
        if settings.debug:
            renderer.format_error = partial(traceback_of, settings=settings)
        chat = await opener.open_chat(name, resume, renderer.remark)
        from swarmchat.cli.chat.banner import greeting, resume_hint
        from swarmchat.cli.chat.repl import Repl

        for line in [*greeting(chat.session, wiring.backend_name(settings)), *wiring.project_settings(settings)]:
            renderer.remark(line)
        try:
            await Repl(chat, renderer, draft, first).run()
        finally:
            # A user who presses Ctrl-C repeatedly to leave must not stop the session from being stored and closed.
            ignore_interrupts()
            problem = ""
            try:
                if ended := chat.running_tasks:
                    renderer.remark(ended)
                problem = await chat.close()
            finally:
                for notice in chat.session.conversation.take_notices():
                    renderer.remark(f"warning: {notice}")
                if problem:
                    renderer.remark(problem)
                if not chat.session.is_new and not chat.session.conversation.journal.is_deleted:
                    renderer.verbatim(resume_hint(chat.session, settings))
