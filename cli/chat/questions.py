"""Questions to the user while a turn runs: those of tools, and the prompt that approvals share."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from prompt_toolkit import PromptSession
from swarmchat.cli.prompt.prompt import Prompt, follow_reflow
from swarmchat.cli.render.renderer import Renderer
from swarmchat.cli.terminal.sanitize import one_line, sanitize

if TYPE_CHECKING:
    from swarmchat.swarm.tools.asking import FormField, UserQuestion

_LONGEST = 2000
"""Characters of a question."""
_LEAVES = ("/exit", "exit", "/quit", "quit")
"""What leaves a list of choices, unless one of them begins so."""
_YES_NO = {"y": True, "yes": True, "n": False, "no": False}


class QuestionPrompt:
    """A prompt in the middle of a turn."""

    def __init__(self, renderer: Renderer, chat_prompt: Prompt) -> None:
        self.renderer = renderer
        self._chat_prompt = chat_prompt

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

    @contextmanager
    def open(self) -> Iterator[None]:
        """Hold back the chat's output, and input for its prompt."""
        with self._chat_prompt.pause(), self.renderer.suspended():
            yield

    async def line(self, label: str, default: str = "") -> str:
        """Return the user's input. Raises KeyboardInterrupt for Ctrl-C and EOFError for Ctrl-D."""
        # prompt_toolkit's handling of signals would replace the chat's.
        return await self._prompt.prompt_async(f"  {label} ", default=default, handle_sigint=False)


class Questions:
    """Asks the user the questions of tools."""

    def __init__(self, prompt: QuestionPrompt) -> None:
        self._prompt = prompt

    async def ask(self, question: "UserQuestion") -> Any:
        """Return the answer, repeating the question until it is valid; ``None`` for Ctrl-C and Ctrl-D."""
        from swarmchat.swarm.tools.context import ArgumentsError

        with self._prompt.open():
            who = f"{one_line(question.agent, 80)} · " if question.agent else ""
            text = f"{who}{one_line(question.tool, 80)} asks: {sanitize(question.text)[:_LONGEST]}"
            for line in text.split("\n"):
                # An address is copied, or clicked on.
                show = self._prompt.renderer.verbatim if line.startswith("http") else self._prompt.renderer.remark
                show(line)
            entered: dict[str, str] = {}
            while True:
                try:
                    answer = await self._answer(question, entered)
                    question.check(answer)
                except (KeyboardInterrupt, EOFError):
                    return None
                except ArgumentsError as error:
                    self._prompt.renderer.error(str(error))
                else:
                    return answer

    async def _answer(self, question: "UserQuestion", entered: dict[str, str]) -> Any:
        match question.kind:
            case "choice":
                return await self._choose(question.choices)
            case "yes_no":
                return await self._yes_or_no()
            case "form":
                answers = {}
                for field in question.fields:
                    text = await self._prompt.line(_label(field), entered.get(field.name, ""))
                    entered[field.name] = text
                    if text.strip() or field.required:
                        answers[field.name] = _value(field, text)
                return answers
        return await self._prompt.line("answer:")

    async def _choose(self, choices: tuple[str, ...]) -> str:
        """Return the choice whose number or text is entered."""
        for number, choice in enumerate(choices, 1):
            self._prompt.renderer.remark(f"  {number}  {one_line(choice, 200)}")
        how = f"enter a number from 1 to {len(choices)}, or how one begins; Ctrl-C chooses none"
        while True:
            text = (await self._prompt.line(f"1-{len(choices)}:")).strip()
            if not text:
                self._prompt.renderer.remark(how)
                continue
            if text in choices:
                return text
            if text.isdecimal() and 1 <= int(text) <= len(choices):
                return choices[int(text) - 1]
            fitting = [choice for choice in choices if choice.lower().startswith(text.lower())]
            if len(fitting) == 1:
                return fitting[0]
            if text.lower() in _LEAVES:
                raise EOFError
            problem = "begins several of the choices" if fitting else "is not one of the choices"
            self._prompt.renderer.error(f"{one_line(text, 80)!r} {problem}: {how}")

    async def _yes_or_no(self) -> bool:
        while True:
            answer = _YES_NO.get((await self._prompt.line("y/n then Enter:")).strip().lower())
            if answer is not None:
                return answer


def _label(field: "FormField") -> str:
    """Return a field's name at the prompt, with its possible values."""
    about = [one_line(field.description, 80)] if field.description else []
    if field.choices:
        several = "several, separated by commas: " if field.type == "array" else ""
        about.append(several + " | ".join(map(str, field.choices)))
    elif field.type not in ("string", ""):
        about.append({"array": "a JSON list", "object": "a JSON object", "boolean": "y/n"}.get(field.type, field.type))
    if not field.required:
        default = ", ".join(map(str, field.default)) if isinstance(field.default, list) else field.default
        if isinstance(default, bool):
            default = "y" if default else "n"
        about.append("optional" if default is None else f"default {default}")
    return f"{one_line(field.name, 40)}" + (f" ({', '.join(about)})" if about else "") + ":"


def _value(field: "FormField", text: str) -> Any:
    """Return ``text`` as a JSON value for the field; the later check reports invalid values."""
    if field.type == "string":
        return text
    if field.type == "array" and field.choices and not text.lstrip().startswith("["):
        return [each.strip() for each in text.split(",") if each.strip()]
    if field.type == "boolean" and text.strip().lower() in _YES_NO:
        return _YES_NO[text.strip().lower()]
    try:
        return json.loads(text)
    except ValueError:
        return text
