"""Slash commands about the model and settings of the session, the approval of tools, and diagnosis."""

import asyncio
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from swarmchat.cli.errors import CliError, UsageError
from swarmchat.cli.settings import wiring
from swarmchat.cli.settings.credentials import mask_secrets, secrets_of, traceback_of
from swarmchat.cli.settings.loading import read_value
from swarmchat.cli.settings.models import choose_model, is_connected, list_models
from swarmchat.cli.settings.resumption import resume_with
from swarmchat.cli.settings.settings import Settings
from swarmchat.cli.slash.chat_context import ChatContext
from swarmchat.cli.slash.registry import Choice, Command, CommandResult
from swarmchat.swarm.agents.rescue_steps import STEPS
from swarmchat.swarm.common.names import nearest
from swarmchat.swarm.conversation.settings import SessionSettings
from swarmchat.swarm.errors import ModelNotFound, SwarmError

_MODES = ("auto", "ask", "deny")
_DEFAULT = "default"
"""The value that resets a setting."""
_TAB_TIMEOUT = 1.0
"""Seconds that a server may take to list its models for Tab."""
_LIST_TIMEOUT = 10.0
"""Seconds that it may take otherwise."""


def _number(low: float, high: float) -> Callable[[str], float]:
    def read(text: str) -> float:
        if not re.fullmatch(r"-?[0-9]{1,6}(\.[0-9]{1,6})?", text) or not low <= float(text) <= high:
            raise ValueError(f"expected a number from {low:g} to {high:g}")
        return float(text)

    return read


def _whole(text: str) -> int:
    if not re.fullmatch("[0-9]{1,9}", text) or int(text) == 0:
        raise ValueError("expected a whole number above 0")
    return int(text)


def _word(text: str) -> str:
    if not re.fullmatch("[a-z_-]{1,20}", text):
        raise ValueError("expected a word such as low, medium or high")
    return text


@dataclass(frozen=True)
class _Setting:
    """Something that /set can change: a setting of the program by its name, or a parameter of requests."""

    field: str = ""
    """The field of the session's settings; empty for a parameter."""
    read: Callable[[str], Any] | None = None
    """Reads a parameter. Raises ValueError."""
    words: Sequence[str] = ()
    """The words that it can be set to, for completion."""

    def value(self, name: str, settings: SessionSettings) -> Any:
        """Return its value in ``settings``."""
        return getattr(settings, self.field) if self.field else settings.parameters.get(name)


_SETTINGS: Mapping[str, _Setting] = {
    "max_context": _Setting("context_window"),
    "approve": _Setting("approve", words=_MODES),
    "rescue": _Setting("rescue", words=(*STEPS, "none")),
    "rescue_confirm": _Setting("rescue_confirm", words=("ask", "always", "never")),
    "placeholder": _Setting("placeholder"),
    "temperature": _Setting(read=_number(0, 2)),
    "top_p": _Setting(read=_number(0, 1)),
    "frequency_penalty": _Setting(read=_number(-2, 2)),
    "presence_penalty": _Setting(read=_number(-2, 2)),
    "max_tokens": _Setting(read=_whole),
    "seed": _Setting(read=_whole),
    "reasoning_effort": _Setting(read=_word, words=("low", "medium", "high")),
}


async def _model_names(chat: ChatContext, typed: str) -> list[Choice]:
    """Offer the model in use, those of the settings and of agents, and those that the server lists in time."""
    named = {agent.model: f"of {agent.name}" for agent in chat.session.swarm.agents if agent.model}
    named = {**dict.fromkeys(chat.settings.models or (), "in your settings"), **named}
    models = {**named, chat.session.model.name: "in use", "demo": "built in: scripted answers, no AI"}
    if is_connected(replace(chat.settings, model=None)):
        with suppress(TimeoutError):
            async with asyncio.timeout(_TAB_TIMEOUT):
                models = {**dict.fromkeys((await _listed_models(chat.settings))[0], ""), **models}
    return list(models.items())


@Command("model", "show the model, or switch to another one", "[NAME] [--base-url URL]", completes=_model_names)
async def _model(chat: ChatContext, argument: str) -> str | CommandResult:
    session = chat.session
    if not argument:
        lines = [f"{session.model.name} answers, with a window of {session.model.context_window:,} tokens"]
        lines += [f"agent {agent.name} names {agent.model}" for agent in session.swarm.agents if agent.model]
        return "\n".join(lines)
    name, option, address = (part.strip() for part in f" {argument}".partition(" --base-url"))
    # The options of the command line were for another model.
    origins = {setting: origin.removeprefix("--") for setting, origin in chat.settings.origins.items()}
    chosen = replace(chat.settings, model=name or None, origins=origins)
    if option:
        origins["base_url"] = option
        chosen = replace(chosen, base_url=read_value(option, "base_url", address.removeprefix("=")))
        chosen = await choose_model(chosen)
    model, problem = chat.make_model(chosen), ""
    if model.name != "demo":
        names, problem = await _listed_models(chosen)
        served = chosen.of_this_model.get("model", model.name)
        if names and served not in names:
            raise UsageError(f"the server has no model {served!r}; {nearest(served, names)}")
    session.model = model
    if option:
        chat.settings = chosen
        await session.change_settings(replace(session.settings, resume_with=resume_with(chosen)))
    if session.model is not model:
        own = f"agent {session.agent.name} has its own model, {session.model.name}"
        return CommandResult(remark=f"{own}; {model.name} answers for the others")
    remark = f"{model.name} answers from now on, with a window of {session.conversation.budget.window:,} tokens"
    return CommandResult(
        remark=f"{remark}; could not check whether the server has it: {problem}" if problem else remark
    )


async def _listed_models(settings: Settings) -> tuple[list[str], str]:
    """Return the models that the server lists, and why it cannot be asked; both are empty if it has no such list."""
    settings = settings.for_model(settings.model)
    try:
        return await list_models(replace(settings, timeout=min(_LIST_TIMEOUT, settings.timeout))), ""
    except ModelNotFound:
        return [], ""
    except (SwarmError, CliError) as error:
        return [], str(error)


async def _assignments(chat: ChatContext, typed: str) -> list[Choice]:
    """Offer the settings with their values; after a name, the words that it can be set to."""
    name, space, value = typed.partition(" ")
    if not space:
        settings = chat.session.settings
        return [(each, _as_text(chat, each, setting.value(each, settings))) for each, setting in _SETTINGS.items()]
    if name not in _SETTINGS:
        return []
    words = _SETTINGS[name].words
    before, comma, _ = value.rpartition(",")
    if comma:
        # Words that a list has already are not offered again.
        return [(f"{name} {before},{word}", "") for word in words if word not in (*before.split(","), "none")]
    return [*((f"{name} {word}", "") for word in words), (f"{name} {_DEFAULT}", "resets it")]


@Command(
    "set",
    "show or change settings until the session is closed; default resets one",
    "[NAME [VALUE]]",
    completes=_assignments,
)
async def _set(chat: ChatContext, argument: str) -> str | CommandResult:
    name, _, value = argument.partition(" ")
    if name and name not in _SETTINGS:
        raise UsageError(f"{name!r} cannot be set in a session; {nearest(name, _SETTINGS)}")
    if not value.strip():
        return "\n".join(_setting_line(chat, each) for each in _SETTINGS if name in ("", each))
    await chat.session.change_settings(_changed(chat, name, value.strip()))
    return CommandResult(remark=_setting_line(chat, name))


def _setting_line(chat: ChatContext, name: str) -> str:
    """Return the name, the value and the origin of a setting."""
    value = _SETTINGS[name].value(name, chat.session.settings)
    initial = _SETTINGS[name].value(name, wiring.session_settings(chat.settings))
    origin = "set here" if value != initial else chat.settings.origins.get(name, _DEFAULT)
    return f"{name:<{max(map(len, _SETTINGS))}}  {_as_text(chat, name, value)}  ({origin})"


def _changed(chat: ChatContext, name: str, text: str) -> SessionSettings:
    """Return the session's settings with ``name`` set to the value in ``text``. Raises UsageError and ConfigError."""
    setting, settings = _SETTINGS[name], chat.session.settings
    if text == _DEFAULT:
        value = setting.value(name, wiring.session_settings(chat.settings))
    elif setting.read is None:
        value = read_value("/set", name, text)
    else:
        try:
            value = setting.read(text)
        except ValueError as error:
            raise UsageError(f"/set: {name} is {text!r}: {error}") from error
    if setting.field:
        return replace(settings, **{setting.field: value})
    others = {each: parameter for each, parameter in settings.parameters.items() if each != name}
    return replace(settings, parameters=others if value is None else {**others, name: value})


def _as_text(chat: ChatContext, name: str, value: Any) -> str:
    if name == "max_context" and value is None:
        return f"{chat.session.model.context_window:,} (this model's window)"
    if value is None or value == {}:
        return "not set"
    if isinstance(value, Mapping):
        return ", ".join(f"{pattern}: {rule}" for pattern, rule in value.items())
    if isinstance(value, tuple | list):
        return ", ".join(each if isinstance(each, str) else each.__name__ for each in value) or "none"
    return f"{value:,}" if isinstance(value, int) else str(value)


async def _rules(chat: ChatContext, typed: str) -> list[Choice]:
    servers = chat.session.swarm.mcp_servers
    tools = {tool.name: tool for agent in chat.session.swarm.agents for tool in agent.own_tools}
    if servers is not None:
        tools |= {tool.name: tool for each in servers.connections.values() for tool in each.listed}
    name, space, _ = typed.rpartition(" ")
    if space and not any(each.startswith(typed) for each in tools):
        return [(f"{name} {mode}", "") for mode in _MODES]
    rules = [(name, f"{chat.session.settings.rule_for(name, tool.approve)} now") for name, tool in tools.items()]
    return [*((mode, "for all tools") for mode in _MODES), *rules]


@Command(
    "approve",
    "show or set which tools may run: auto, ask or deny; PATTERN such as refund*",
    "[MODE, or PATTERN MODE]",
    completes=_rules,
    is_useful=lambda chat: any(agent.own_tools or agent.tool_patterns for agent in chat.session.swarm.agents),
)
async def _approve(chat: ChatContext, argument: str) -> str | CommandResult:
    settings = chat.session.settings
    # The names of tools may contain spaces.
    pattern, _, mode = argument.strip().rpartition(" ")
    if not mode:
        tools = (await chat.session.conversation.toolset()).tools
        lines = [f"{name}: {settings.rule_for(name, tool.approve)}" for name, tool in tools.items()]
        return "\n".join(lines) or f"{chat.session.agent.name} has no tools"
    if mode not in _MODES:
        raise UsageError(
            f"{argument!r} is not a rule; expected auto, ask or deny, optionally after a pattern of tool names"
        )
    pattern = pattern.strip() or "*"
    rules, at_least = ({}, {}) if pattern == "*" else (dict(settings.approve), dict(settings.approve_at_least))
    # The first match wins, and the user's own rules come before those of a folder's file.
    rules, at_least = {pattern: mode, **_without(pattern, rules)}, {pattern: "auto", **_without(pattern, at_least)}
    await chat.session.change_settings(replace(settings, approve=rules, approve_at_least=at_least))
    return CommandResult(remark=f"tools matching {pattern}: {mode}, until the session is closed")


def _without(pattern: str, rules: dict[str, str]) -> dict[str, str]:
    return {each: rule for each, rule in rules.items() if each != pattern}


async def _debug_pages(chat: ChatContext, typed: str) -> list[Choice]:
    return [("last", "the last request"), ("tool", "the last failed tool")]


@Command(
    "debug",
    "show the last request and its answer as JSON, or the traceback of the last failed tool, with secrets masked",
    "last|tool",
    completes=_debug_pages,
    is_useful=lambda chat: chat.session.conversation.last_request is not None,
)
async def _debug(chat: ChatContext, argument: str) -> str:
    conversation, secrets = chat.session.conversation, secrets_of(chat.settings)
    if argument == "tool":
        if conversation.last_tool_error is None:
            raise UsageError("no tool has failed since this session was opened")
        return traceback_of(conversation.last_tool_error, chat.settings)
    if argument not in ("", "last"):
        raise UsageError("usage: /debug last, or /debug tool")
    if conversation.last_request is None:
        raise UsageError("no request has been sent since this session was opened")
    requests = [record.seq for record in chat.session.records if record.type == "request"]
    start = requests[-1] if requests else -1
    answer = [json.loads(record.line) for record in chat.session.records if record.seq > start]
    # The data of images would fill the screen.
    request = json.loads(conversation.last_request.body(data=False))
    # The user may have typed a key, or a tool returned one: the log holds it, but it must not be passed on.
    page = mask_secrets({"request": request, "records": answer}, secrets)
    return json.dumps(page, ensure_ascii=False, indent=2)


@Command("doctor", "check the setup, and say what to fix")
async def _doctor(chat: ChatContext, argument: str) -> str:
    from swarmchat.cli.doctor.check_result import format_check
    from swarmchat.cli.doctor.environment import check_key, check_program, check_terminal
    from swarmchat.cli.doctor.model import check_model
    from swarmchat.cli.doctor.store import check_folder

    settings = replace(chat.settings, model=chat.session.model.name)
    key, usable = check_key(settings)
    checks = [*check_program(), *check_terminal(os.environ), *key]
    checks += [*await check_model(settings, offline=False, usable=usable), *check_folder(settings)]
    lines = [format_check(check, colour=False) for check in checks]
    return "\n".join([*lines, "swarmchat doctor looks at the store and at all sessions too"])
