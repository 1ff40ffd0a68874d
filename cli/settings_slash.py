"""Slash commands about how the chat works: the model, settings of the session, approvals, and what went wrong."""

import json
import sys
from contextlib import suppress
from dataclasses import replace

from swarmchat.cli.desk import Desk, desk_of
from swarmchat.cli.errors import CliError, UsageError
from swarmchat.cli.registry import Choice, Outcome, command
from swarmchat.cli.session_values import VALUES, changed, value_lines
from swarmchat.cli.slash_values import models
from swarmchat.swarm.errors import SwarmError
from swarmchat.swarm.names_check import nearest
from swarmchat.swarm.session import Session

_MODES = ("auto", "ask", "deny")
_PATIENCE = 10.0
"""Seconds that a server may take to list its models."""


async def _set_names(session: Session, typed: str) -> list[Choice]:
    return [(name, "") for name in VALUES]


async def _mode_names(session: Session, typed: str) -> list[Choice]:
    return [(mode, "for all tools") for mode in _MODES]


def _was_asked(session: Session) -> bool:
    return session.last_request is not None


@command("model", "[NAME]: which model answers, or let another one answer from now on", completes=models)
async def _model(session: Session, argument: str) -> str | Outcome:
    if not argument:
        lines = [f"{session.model.name} answers, with a window of {session.model.context_window:,} tokens"]
        lines += [f"agent {agent.name} names {agent.model}" for agent in session.swarm.agents if agent.model]
        return "\n".join(lines)
    desk = desk_of(session)
    model = desk.make_model(session, argument)
    if argument != "demo":
        listed = await _listed(desk)
        if listed and argument not in listed:
            raise UsageError(f"the server has no model {argument!r}; {nearest(argument, listed)}")
    session.model = model
    if session.model is not model:
        return Outcome(remark=f"{session.agent.name} names {session.model.name} and keeps it; {argument} is for others")
    window = session.budget.window
    return Outcome(remark=f"{model.name} answers from now on, with a window of {window:,} tokens")


async def _listed(desk: Desk) -> list[str]:
    """Return the models that the server lists; none if it does not say."""
    from swarmchat.cli.models_list import make_endpoint
    from swarmchat.swarm.openai_endpoint import OpenAIEndpoint

    settings = replace(desk.settings, model=None, timeout=min(_PATIENCE, desk.settings.timeout), retries=0)
    with suppress(SwarmError, CliError):
        endpoint = make_endpoint(settings, name="any")
        if isinstance(endpoint, OpenAIEndpoint):
            try:
                return [listed.id for listed in await endpoint.list_models()]
            finally:
                await endpoint.close()
    return []


@command(
    "set",
    "[NAME [VALUE]]: settings of this session until it is closed; the value default takes one back",
    completes=_set_names,
)
async def _set(session: Session, argument: str) -> str | Outcome:
    name, _, value = argument.partition(" ")
    if not value.strip():
        lines = [line for line in value_lines(session) if not name or line.split()[0] == name]
        if not lines:
            raise UsageError(f"{name!r} cannot be set in a session; {nearest(name, VALUES)}")
        return "\n".join(lines)
    await session.change_settings(changed(session, name, value.strip()))
    return Outcome(remark=next(line for line in value_lines(session) if line.split()[0] == name))


@command(
    "approve",
    "[MODE, or PATTERN MODE]: whether tools may run: auto, ask or deny; patterns such as refund*",
    completes=_mode_names,
)
async def _approve(session: Session, argument: str) -> str | Outcome:
    words = argument.split()
    if not words:
        offer = await session.offer()
        rules = [f"{name}: {session.settings.rule_for(name, tool.approve)}" for name, tool in offer.tools.items()]
        return "\n".join(rules) or f"{session.agent.name} has no tools"
    if len(words) > 2 or words[-1] not in _MODES:
        raise UsageError(f"{argument!r} is no rule, expected auto, ask or deny, perhaps behind a pattern of tool names")
    before = {} if len(words) == 1 else session.settings.approve
    pattern = "*" if len(words) == 1 else words[0]
    others = {each: rule for each, rule in before.items() if each != pattern}
    await session.change_settings(replace(session.settings, approve={pattern: words[-1], **others}))
    return Outcome(remark=f"tools that {pattern} fits: {words[-1]}, until this session is closed")


@command("debug", "last: the last request and what came of it, as JSON; no keys are in it", when=_was_asked)
async def _debug(session: Session, argument: str) -> str:
    if argument not in ("", "last"):
        raise UsageError(f"{argument!r} is nothing to look at, expected last")
    request = session.last_request
    if request is None:
        raise UsageError("nothing was sent since this session was opened")
    asked = next((record for record in reversed(session.records) if record.type == "request"), None)
    after = [json.loads(record.line) for record in session.records if asked is None or record.seq > asked.seq]
    body = json.loads(request.body())
    return json.dumps({"request": body, "records": after}, ensure_ascii=False, indent=2)


@command("doctor", "look whether all that a chat needs is in order, and say what to do")
async def _doctor(session: Session, argument: str) -> str:
    import os

    from swarmchat.cli.doctor_check import shown
    from swarmchat.cli.doctor_host import check_program, check_terminal
    from swarmchat.cli.doctor_model import check_model
    from swarmchat.cli.doctor_settings import check_folder, check_key

    settings = desk_of(session).settings
    key, usable = check_key(settings)
    made = [*check_program(), *check_terminal(os.environ), *key]
    made += [*await check_model(settings, offline=False, usable=usable), *check_folder(settings)]
    lines = [shown(check, 100, colour=False) for check in made]
    return "\n".join([*lines, "swarmchat doctor looks at the store and at all sessions too"])


@command("clear", "clear the screen; nothing else changes", at_prompt_only=True)
async def _clear(session: Session, argument: str) -> Outcome:
    if sys.stdout.isatty():
        from prompt_toolkit.shortcuts import clear

        clear()
    return Outcome()
