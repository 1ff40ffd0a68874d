"""Ask the user whether a tool may be called."""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import cached_property
from typing import TYPE_CHECKING

from prompt_toolkit import PromptSession
from swarmchat.cli.prompt.prompt import follow_reflow
from swarmchat.cli.render.renderer import Renderer
from swarmchat.cli.terminal.sanitize import one_line
from swarmchat.swarm.models.base import ToolCall

if TYPE_CHECKING:
    from swarmchat.swarm.tools.tool import Tool

_ARGUMENTS = 5000
"""How many letters of a call's arguments are shown: nobody should allow what they cannot see."""
_QUESTION = "  allow? y/n/a/e/? then Enter "
_HELP = """\
y  call it once
n  do not call it (also Ctrl-C, Ctrl-D)
a  call it, and do not ask about this tool again in this chat
e  change the arguments, then call it
?  show the call in full"""


class Approvals:
    """Asks, and remembers what is always allowed."""

    def __init__(self, renderer: Renderer) -> None:
        self._renderer = renderer
        self._always: set[str] = set()
        """Tools that the user has allowed for the rest of the chat."""

    @cached_property
    def _prompt(self) -> PromptSession[str]:
        # For the first question: to make it takes as long as the chat's own prompt, which is waited for.
        prompt: PromptSession[str] = PromptSession()
        follow_reflow(prompt.app)
        return prompt

    @property
    def asking(self) -> bool:
        """Whether a question is on the screen."""
        return self._prompt.app.is_running

    def interrupt(self) -> None:
        """Answer the question with Ctrl-C."""
        self._prompt.app.key_processor.send_sigint()

    async def ask(
        self, agent: str, tool: "Tool", call: ToolCall, pause: Callable[[], AbstractContextManager[None]]
    ) -> bool | str:
        """Return whether ``agent`` may call ``tool``, or other arguments to call it with.

        What is no answer is asked again; Ctrl-C and Ctrl-D are no. ``pause`` leaves the keys to the question.
        """
        if tool.name in self._always:
            return True
        arguments = one_line(call.arguments, _ARGUMENTS)
        with pause(), self._renderer.held():
            self._renderer.remark(f"{agent} wants to call {tool.name}({arguments})")
            try:
                return await self._answer(tool, call)
            except (KeyboardInterrupt, EOFError):
                return False

    async def _answer(self, tool: "Tool", call: ToolCall) -> bool | str:
        while True:
            # With its own handling of signals it would remove ours.
            answer = await self._prompt.prompt_async(_QUESTION, handle_sigint=False)
            match answer.strip().lower():
                case "y" | "yes":
                    return True
                case "n" | "no":
                    return False
                case "a" | "always":
                    self._always.add(tool.name)
                    return True
                case "e" | "edit":
                    if (edited := await self._edited(tool, call)) is not None:
                        return edited
                case "?" | "(?)":
                    about = tool.signature.description
                    self._renderer.page(f"{tool.name}: {about}\n{_pretty(call.arguments)}\n\n{_HELP}")

    async def _edited(self, tool: "Tool", call: ToolCall) -> str | None:
        """Return the arguments as the user changes them, checked; ``None`` if they give up."""
        from swarmchat.swarm.tools.tool import ArgumentsError

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


def _pretty(arguments: str) -> str:
    try:
        return json.dumps(json.loads(arguments), ensure_ascii=False, indent=2)
    except (ValueError, RecursionError):
        return arguments
