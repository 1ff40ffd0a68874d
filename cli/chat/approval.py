"""Ask the user to allow or deny a tool call."""

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from swarmchat.cli.chat.questions import QuestionPrompt
from swarmchat.cli.slash.chat_context import ChatContext
from swarmchat.cli.terminal.sanitize import exact_json, show_hidden
from swarmchat.swarm.common.encoding import decode_json
from swarmchat.swarm.models.base import ToolCall

if TYPE_CHECKING:
    from swarmchat.swarm.tools.context import Denied
    from swarmchat.swarm.tools.tool import Tool

_ARGUMENTS = 5000
"""Characters of the arguments to show: users should not allow what they cannot see."""
_QUESTION = "allow? y/n/a/e/? then Enter"
_HELP = """\
y  call it once
n  do not call it (also Ctrl-C, Ctrl-D); text after n goes to the model: n use 6 instead
a  call it, and do not ask about this tool again in this chat
e  change the arguments, then call it
?  show the call in full"""


class Approvals:
    """Asks about calls of tools, and remembers which tools are always allowed."""

    def __init__(self, chat: ChatContext, prompt: QuestionPrompt) -> None:
        self._chat = chat
        self._prompt = prompt
        self._renderer = prompt.renderer
        self._always: dict[str, Mapping[str, Any]] = {}
        """The tools that the user has allowed for the rest of the chat, by name: their definitions."""

    async def ask(self, tool: "Tool", call: ToolCall) -> "bool | str | Denied":
        """Return whether the agent may call ``tool``, other arguments to call it with, or why it may not.

        Repeats the question until the answer is valid; Ctrl-C and Ctrl-D mean no.
        """
        if self._always.get(tool.name) == tool.definition:
            return True
        arguments = exact_json(call.arguments)
        if len(arguments) > _ARGUMENTS:
            arguments = arguments[: _ARGUMENTS - 1] + "…"
        with self._prompt.open():
            if tool.name in self._always:
                # An MCP server may change what a tool does once it is allowed.
                self._renderer.remark(f"the description of {tool.name} has changed since you allowed it; ? shows it")
            agent = call.agent or self._chat.session.agent.name
            self._renderer.remark(f"{agent} wants to call {tool.name}({arguments})")
            try:
                return await self._ask(tool, call)
            except (KeyboardInterrupt, EOFError):
                return False

    async def _ask(self, tool: "Tool", call: ToolCall) -> "bool | str | Denied":
        while True:
            word, _, reason = (await self._prompt.line(_QUESTION)).strip().partition(" ")
            match word.rstrip(",:;.").lower():
                case "y" | "yes":
                    return True
                case "n" | "no":
                    from swarmchat.swarm.tools.context import Denied

                    return Denied(reason.strip())
                case "a" | "always":
                    self._always[tool.name] = tool.definition
                    return True
                case "e" | "edit":
                    if (edited := await self._edit_arguments(tool, call)) is not None:
                        return edited
                case "?" | "(?)":
                    arguments = exact_json(call.arguments)
                    with suppress(ValueError):
                        arguments = json.dumps(decode_json(arguments), ensure_ascii=False, indent=2)
                        arguments = "\n".join(map(exact_json, arguments.split("\n")))
                    description = show_hidden(tool.signature.description)
                    self._renderer.page(f"{tool.name}: {description}\n{arguments}\n\n{_HELP}")

    async def _edit_arguments(self, tool: "Tool", call: ToolCall) -> str | None:
        """Return valid arguments as the user edits them; ``None`` for Ctrl-C or Ctrl-D."""
        from swarmchat.swarm.tools.context import ArgumentsError

        text = shown = exact_json(call.arguments)
        while True:
            try:
                text = await self._prompt.line("arguments:", text)
                tool.read_arguments(text)
            except (KeyboardInterrupt, EOFError):
                return None
            except ArgumentsError as error:
                self._renderer.error(str(error))
            else:
                return call.arguments if text == shown else text
