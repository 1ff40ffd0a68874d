"""Slash commands about how the chat works: the model, settings of the session, approvals, and what went wrong."""

import asyncio
import json
import shutil
import sys
import traceback
from contextlib import suppress
from dataclasses import replace

from swarmchat.cli.errors import CliError, UsageError
from swarmchat.cli.settings import wiring
from swarmchat.cli.settings.credentials import mask_secrets, secrets_of
from swarmchat.cli.settings.settings import Settings
from swarmchat.cli.slash.arguments import models
from swarmchat.cli.slash.chat_context import ChatContext
from swarmchat.cli.slash.registry import Choice, Outcome, command
from swarmchat.cli.slash.set_values import VALUES, changed, choices, value_lines
from swarmchat.cli.terminal.capabilities import can_move
from swarmchat.swarm.common.names import nearest
from swarmchat.swarm.errors import ModelNotFound, SwarmError

_MODES = ("auto", "ask", "deny")
_MOMENT = 1.0
"""Seconds that it may take for Tab."""
_PATIENCE = 10.0
"""Seconds that a server may take to list its models."""
_WIDEST = 110


async def _model_names(chat: ChatContext, typed: str) -> list[Choice]:
    """Return the models that are known, and those that the server lists in time."""
    found = dict(await models(chat, typed))
    if wiring.is_connected(chat.settings):
        with suppress(TimeoutError):
            async with asyncio.timeout(_MOMENT):
                found = {**dict.fromkeys((await _listed(chat.settings))[0], ""), **found}
    return list(found.items())


async def _rules(chat: ChatContext, typed: str) -> list[Choice]:
    name, space, _ = typed.partition(" ")
    if space:
        return [(f"{name} {mode}", "") for mode in _MODES]
    tools = {tool.name: tool for agent in chat.session.swarm.agents for tool in agent.own_tools}
    now = [(name, f"{chat.session.settings.rule_for(name, tool.approve)} now") for name, tool in tools.items()]
    return [*((mode, "for all tools") for mode in _MODES), *now]


def _has_tools(chat: ChatContext) -> bool:
    return any(agent.own_tools for agent in chat.session.swarm.agents)


async def _last(chat: ChatContext, typed: str) -> list[Choice]:
    return [("last", "the last request"), ("tool", "the last failed tool")]


def _was_asked(chat: ChatContext) -> bool:
    return chat.session.conversation.last_request is not None


@command("model", "show the model, or switch to another one", arguments="[NAME]", completes=_model_names)
async def _model(chat: ChatContext, argument: str) -> str | Outcome:
    if not argument:
        lines = [f"{chat.session.model.name} answers, with a window of {chat.session.model.context_window:,} tokens"]
        lines += [f"agent {agent.name} names {agent.model}" for agent in chat.session.swarm.agents if agent.model]
        return "\n".join(lines)
    model = chat.make_model(argument)
    unasked = ""
    if argument != "demo":
        listed, unasked = await _listed(chat.settings)
        if listed and argument not in listed:
            raise UsageError(f"the server has no model {argument!r}; {nearest(argument, listed)}")
    chat.session.model = model
    if chat.session.model is not model:
        return Outcome(
            remark=f"{chat.session.agent.name} names {chat.session.model.name} and keeps it; {argument} is for others"
        )
    window = chat.session.conversation.budget.window
    told = f"{model.name} answers from now on, with a window of {window:,} tokens"
    return Outcome(remark=f"{told}; whether the server has it is not known: {unasked}" if unasked else told)


async def _listed(settings: Settings) -> tuple[list[str], str]:
    """Return the models that the server lists, and why it cannot be asked; nothing of both if it has no such list."""
    from swarmchat.cli.settings.wiring import make_endpoint
    from swarmchat.swarm.models.openai_endpoint import OpenAIEndpoint

    settings = replace(settings, model=None, timeout=min(_PATIENCE, settings.timeout), retries=0)
    try:
        endpoint = make_endpoint(settings, name="any")
        if isinstance(endpoint, OpenAIEndpoint):
            try:
                return [listed.id for listed in await endpoint.list_models()], ""
            finally:
                await endpoint.close()
    except ModelNotFound:
        pass
    except (SwarmError, CliError) as error:
        return [], str(error)
    return [], ""


@command(
    "set",
    "show or change settings until the session is closed; default resets one",
    arguments="[NAME [VALUE]]",
    completes=choices,
)
async def _set(chat: ChatContext, argument: str) -> str | Outcome:
    name, _, value = argument.partition(" ")
    if not value.strip():
        lines = [line for line in value_lines(chat) if not name or line.split()[0] == name]
        if not lines:
            raise UsageError(f"{name!r} cannot be set in a session; {nearest(name, VALUES)}")
        return "\n".join(lines)
    await chat.session.change_settings(changed(chat, name, value.strip()))
    return Outcome(remark=next(line for line in value_lines(chat) if line.split()[0] == name))


@command(
    "approve",
    "show or set which tools may run: auto, ask or deny; PATTERN such as refund*",
    arguments="[MODE, or PATTERN MODE]",
    completes=_rules,
    when=_has_tools,
)
async def _approve(chat: ChatContext, argument: str) -> str | Outcome:
    words = argument.split()
    if not words:
        toolset = await chat.session.conversation.toolset()
        rules = [
            f"{name}: {chat.session.settings.rule_for(name, tool.approve)}" for name, tool in toolset.tools.items()
        ]
        return "\n".join(rules) or f"{chat.session.agent.name} has no tools"
    if len(words) > 2 or words[-1] not in _MODES:
        raise UsageError(
            f"{argument!r} is not a rule; expected auto, ask or deny, optionally after a pattern of tool names"
        )
    before = {} if len(words) == 1 else chat.session.settings.approve
    pattern = "*" if len(words) == 1 else words[0]
    others = {each: rule for each, rule in before.items() if each != pattern}
    await chat.session.change_settings(replace(chat.session.settings, approve={pattern: words[-1], **others}))
    return Outcome(remark=f"tools matching {pattern}: {words[-1]}, until the session is closed")


@command(
    "debug",
    "show the last request and its answer as JSON, or the traceback of the last failed tool, with secrets masked",
    arguments="last|tool",
    completes=_last,
    when=_was_asked,
)
async def _debug(chat: ChatContext, argument: str) -> str:
    if argument == "tool":
        error = chat.session.conversation.last_tool_error
        if error is None:
            raise UsageError("no tool has failed since this session was opened")
        shown = mask_secrets("".join(traceback.format_exception(error)), secrets_of(chat.settings))
        return str(shown).rstrip()
    if argument not in ("", "last"):
        raise UsageError("usage: /debug last, or /debug tool")
    request = chat.session.conversation.last_request
    if request is None:
        raise UsageError("nothing was sent since this session was opened")
    asked = next((record for record in reversed(chat.session.records) if record.type == "request"), None)
    after = [json.loads(record.line) for record in chat.session.records if asked is None or record.seq > asked.seq]
    body = json.loads(request.body())
    # The user may have typed a key, and a tool may have returned one: they are in the log, and are not to be passed on.
    shown = mask_secrets({"request": body, "records": after}, secrets_of(chat.settings))
    return json.dumps(shown, ensure_ascii=False, indent=2)


@command("doctor", "check the setup, and say what to fix")
async def _doctor(chat: ChatContext, argument: str) -> str:
    import os

    from swarmchat.cli.doctor.check import shown
    from swarmchat.cli.doctor.host import check_program, check_terminal
    from swarmchat.cli.doctor.model import check_model
    from swarmchat.cli.doctor.settings import check_folder, check_key

    settings = replace(chat.settings, model=chat.session.model.name)
    key, usable = check_key(settings)
    made = [*check_program(), *check_terminal(os.environ), *key]
    made += [*await check_model(settings, offline=False, usable=usable), *check_folder(settings)]
    width = min(_WIDEST, shutil.get_terminal_size((_WIDEST, 24)).columns)
    lines = [shown(check, width, colour=False) for check in made]
    return "\n".join([*lines, "swarmchat doctor looks at the store and at all sessions too"])


@command("clear", "clear the screen", at_prompt_only=True)
async def _clear(chat: ChatContext, argument: str) -> Outcome:
    if can_move(sys.stdout):
        from prompt_toolkit.shortcuts import clear

        clear()
    return Outcome()
