"""Ask the user whether a tool may be called."""

import json
from collections.abc import Mapping
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any

from prompt_toolkit import PromptSession
from swarmchat.cli.prompt.prompt import Prompt, follow_reflow
from swarmchat.cli.render.renderer import Renderer
from swarmchat.cli.slash.chat_context import ChatContext
from swarmchat.cli.terminal.sanitize import one_line
from swarmchat.swarm.common.encoding import decode_json
from swarmchat.swarm.models.base import ToolCall

if TYPE_CHECKING:
    from swarmchat.swarm.tools.tool import Tool

_ARGUMENTS = 5000
"""Characters of the arguments to show: users should not allow what they cannot see."""
_QUESTION = "  allow? y/n/a/e/? then Enter "
_HELP = """\
y  call it once
n  do not call it (also Ctrl-C, Ctrl-D)
a  call it, and do not ask about this tool again in this chat
e  change the arguments, then call it
?  show the call in full"""


class Approvals:
    """Asks about calls of tools, and remembers which tools are always allowed."""

    def __init__(self, chat: ChatContext, renderer: Renderer, chat_prompt: Prompt) -> None:
        self._chat = chat
        self._renderer = renderer
        self._chat_prompt = chat_prompt
        self._always: dict[str, Mapping[str, Any]] = {}
        """The tools that the user has allowed for the rest of the chat, by name: their definitions."""

    @cached_property
    def _prompt(self) -> PromptSession[str]:
        # Made for the first question: it takes as long as the chat's own prompt.
        prompt: PromptSession[str] = PromptSession()
        follow_reflow(prompt.app)
        return prompt

    def interrupt(self) -> bool:
        """Answer the open question with Ctrl-C; return False if there is none."""
        if is_asking := self._prompt.app.is_running:
            self._prompt.app.key_processor.send_sigint()
        return is_asking

    async def ask(self, tool: "Tool", call: ToolCall) -> bool | str:
        """Return whether the active agent may call ``tool``, or other arguments to call it with.

        Repeats the question until the answer is valid; Ctrl-C and Ctrl-D mean no.
        """
        if self._always.get(tool.name) == tool.definition:
            return True
        arguments = one_line(call.arguments, _ARGUMENTS)
        with self._chat_prompt.pause(), self._renderer.suspended():
            if tool.name in self._always:
                # An MCP server may change what a tool does once it is allowed.
                self._renderer.remark(f"the description of {tool.name} has changed since you allowed it; ? shows it")
            self._renderer.remark(f"{self._chat.session.agent.name} wants to call {tool.name}({arguments})")
            try:
                return await self._ask(tool, call)
            except (KeyboardInterrupt, EOFError):
                return False

    async def _ask(self, tool: "Tool", call: ToolCall) -> bool | str:
        while True:
            # prompt_toolkit's handling of signals would replace the chat's.
            answer = await self._prompt.prompt_async(_QUESTION, handle_sigint=False)
            match answer.strip().lower():
                case "y" | "yes":
                    return True
                case "n" | "no":
                    return False
                case "a" | "always":
                    self._always[tool.name] = tool.definition
                    return True
                case "e" | "edit":
                    if (edited := await self._edit_arguments(tool, call)) is not None:
                        return edited
                case "?" | "(?)":
                    arguments = call.arguments
                    with suppress(ValueError):
                        arguments = json.dumps(decode_json(arguments), ensure_ascii=False, indent=2)
                    self._renderer.page(f"{tool.name}: {tool.signature.description}\n{arguments}\n\n{_HELP}")

    async def _edit_arguments(self, tool: "Tool", call: ToolCall) -> str | None:
        """Return valid arguments as the user edits them; ``None`` for Ctrl-C or Ctrl-D."""
        from swarmchat.swarm.tools.context import ArgumentsError

        text = call.arguments
        while True:
            try:
                text = await self._prompt.prompt_async("  arguments: ", default=text, handle_sigint=False)
                tool.read_arguments(text)
            except (KeyboardInterrupt, EOFError):
                return None
            except ArgumentsError as error:
                self._renderer.error(str(error))
            else:
                return text
