"""The slash command ``/prompt``, also typed as ``/SERVER:PROMPT``: prompts of MCP servers."""

import re
import shlex
from collections.abc import Mapping

from swarmchat.cli.attachments.reading import check_size
from swarmchat.cli.errors import UsageError
from swarmchat.cli.mcp.listing import described
from swarmchat.cli.slash.chat_context import ChatContext
from swarmchat.cli.slash.registry import Choice, Command, CommandResult
from swarmchat.cli.terminal.sanitize import one_line
from swarmchat.swarm.agents.agent import Swarm
from swarmchat.swarm.common.names import nearest
from swarmchat.swarm.errors import McpError
from swarmchat.swarm.mcp.offers import Offers, Prompt

_SHOWN = 300
"""Characters of the message that are shown."""
_ARGUMENT = re.compile(r"([^\s=]+)=(.*)", re.DOTALL)


def _offers(swarm: Swarm) -> Mapping[str, Offers]:
    return {} if swarm.mcp_servers is None else swarm.mcp_servers.offers


async def prompt_choices(chat: ChatContext) -> list[Choice]:
    """Return the prompts of the servers that run, as ``SERVER:PROMPT``."""
    choices = []
    for name, offers in _offers(chat.session.swarm).items():
        if offers.connection.is_ready:
            choices += [(f"{name}:{each.name}", described(each)) for each in await _prompts(offers)]
    return choices


async def _choices(chat: ChatContext, typed: str) -> list[Choice]:
    name, space, arguments = typed.partition(" ")
    if not space:
        return await prompt_choices(chat)
    offers, prompt = await _find(chat.session.swarm, name)
    start, _, last = typed.rpartition(" ")
    argument, equals, value = last.partition("=")
    if equals:
        values = await offers.complete(prompt, argument, value)
        return [(f"{start} {argument}={shlex.quote(each)}", "") for each in values]
    missing = [each for each in prompt.arguments if f" {each.name}=" not in f" {arguments}"]
    return [(f"{start} {each.name}=", each.about) for each in missing]


def _check(swarm: Swarm, argument: str) -> None:
    server, _, name = argument.partition(" ")[0].partition(":")
    if argument and (server not in _offers(swarm) or not name):
        raise UsageError(_unknown_server(swarm, server, name))


@Command(
    "prompt",
    "send a prompt of an MCP server, or list them; /SERVER:NAME does the same",
    "[SERVER:NAME [ARGUMENT=VALUE …]]",
    check=_check,
    completes=_choices,
    is_useful=lambda chat: bool(_offers(chat.session.swarm)),
)
async def _prompt(chat: ChatContext, argument: str) -> CommandResult:
    if not argument:
        lines = [
            f"/{name}:{each.name}  {described(each)}"
            for name, offers in _offers(chat.session.swarm).items()
            for each in await _prompts(offers)
        ]
        return CommandResult(page="\n".join(lines) or "no prompts")
    name, _, rest = argument.partition(" ")
    offers, prompt = await _find(chat.session.swarm, name)
    text = await offers.fill_prompt(prompt.name, _arguments(name, prompt, rest.strip()))
    if not text.strip():
        raise UsageError(f"/{name}: the server returned an empty message")
    check_size(len(text.encode("utf-8", "replace")), f"the prompt {name}", chat.settings.max_input)
    return CommandResult(remark=f"sends: {one_line(text, _SHOWN)}", send=text)


async def _find(swarm: Swarm, name: str) -> tuple[Offers, Prompt]:
    """Return the prompt ``SERVER:NAME``. Raises UsageError and McpError."""
    server, _, of_server = name.partition(":")
    offers = _offers(swarm).get(server)
    if offers is None or not of_server:
        raise UsageError(_unknown_server(swarm, server, of_server))
    prompts = {each.name: each for each in await offers.prompts()}
    if of_server not in prompts:
        raise UsageError(f"MCP server {server} has no prompt {of_server!r}; {nearest(of_server, prompts)}")
    return offers, prompts[of_server]


def _arguments(name: str, prompt: Prompt, text: str) -> dict[str, str]:
    """Return the arguments in ``text``. Raises UsageError.

    The whole text is the value if the prompt has one argument and ``text`` does not name it.
    """
    known = [each.name for each in prompt.arguments]
    if len(known) == 1 and text and not text.startswith(f"{known[0]}="):
        return {known[0]: text}
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise UsageError(f"/{name}: {text!r} has a quotation mark that is not closed") from error
    values = {}
    for word in words:
        match = _ARGUMENT.fullmatch(word)
        if match is None or match[1] not in known:
            raise UsageError(f"/{name}: {word!r} is not an argument; {_usage(name, prompt)}")
        values[match[1]] = match[2]
    if missing := [each.name for each in prompt.arguments if each.required and each.name not in values]:
        raise UsageError(f"/{name} needs {', '.join(missing)}; {_usage(name, prompt)}")
    return values


def _usage(name: str, prompt: Prompt) -> str:
    arguments = [f"{each.name}=…" if each.required else f"[{each.name}=…]" for each in prompt.arguments]
    return f"expected /{' '.join([name, *arguments])}"


def _unknown_server(swarm: Swarm, server: str, name: str) -> str:
    if server in _offers(swarm):
        return f"/{server}: expected the name of a prompt, as in /{server}:NAME"
    return (
        f"no MCP server {server!r}; {nearest(server, _offers(swarm))} "
        "(to send a message that starts with a slash, type it twice)"
    )


async def _prompts(offers: Offers) -> list[Prompt]:
    try:
        return await offers.prompts()
    except McpError:
        return []
