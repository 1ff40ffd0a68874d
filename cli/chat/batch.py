"""Run turns without a prompt: one question, or the steps of a script in order."""

from collections.abc import AsyncGenerator
from functools import partial
from typing import TYPE_CHECKING

from swarmchat.backends import Backend, BackendError
from swarmchat.cli.app.signals import run_until_signal
from swarmchat.cli.attachments.message import text_in, with_files
from swarmchat.cli.attachments.paths import mentioned
from swarmchat.cli.chat.opener import check_names, opening
from swarmchat.cli.chat.script import Script, Step
from swarmchat.cli.errors import CliError, RescueExhausted, UsageError
from swarmchat.cli.render.outputs import OUTPUTS, JsonLinesOutput, Output
from swarmchat.cli.settings import wiring
from swarmchat.cli.settings.credentials import traceback_of
from swarmchat.cli.settings.settings import Settings
from swarmchat.cli.slash.chat_context import ChatContext
from swarmchat.cli.slash.registry import LeaveChat
from swarmchat.swarm.conversation.events import Event, TextDelta, TurnEnded
from swarmchat.swarm.errors import OutputError, SwarmError
from swarmchat.swarm.tools.tool import Tool
from swarmchat.swarm.turn.question import Asked

if TYPE_CHECKING:
    from swarmchat.swarm.tools.output import OutputType


async def run_script(
    settings: Settings,
    script: Script,
    form: str,
    *,
    session: str | None,
    resume: bool,
    strict: bool,
    keep_going: bool = False,
    kind: "OutputType | None" = None,
) -> int:
    """Check ``script``, run it, print in the output format ``form``; return the exit code.

    ``kind`` is the type of all answers; the format ``text`` prints them as JSON then.
    Raises UsageError for flags or commands that cannot be valid, and what opening the session raises.
    """
    check_names(session, resume)
    if form not in OUTPUTS:
        raise UsageError(f"--output is {form!r}, expected one of {', '.join(OUTPUTS)}")

    async def work() -> int:
        async with opening(settings, session, resume, interactive=False) as opener:
            script.check(opener.swarm)
            output = JsonLinesOutput() if kind is not None and form == "text" else OUTPUTS[form]()
            if opener.settings.debug:
                output.renderer.format_error = partial(traceback_of, settings=opener.settings)
            for line in wiring.project_settings(opener.settings):
                output.renderer.remark(line)
            chat = await opener.open_chat(session, resume, output.renderer.remark)
            return await _ScriptRun(chat, opener.backend, output, strict, keep_going, kind).run(script)

    return await run_until_signal(work(), "SIGINT", "SIGTERM", "SIGHUP")


class _ScriptRun:
    """Runs the steps of a script in the session of ``chat``, and closes the session that is open at the end."""

    def __init__(
        self,
        chat: ChatContext,
        backend: Backend,
        output: Output,
        strict: bool,
        keep_going: bool,
        kind: "OutputType | None",
    ) -> None:
        self._chat = chat
        self._backend = backend
        self._output = output
        self._strict = strict
        self._keep_going = keep_going
        self._kind = kind
        self._error: BaseException | None = None
        """The first error."""

    async def run(self, script: Script) -> int:
        """Run until a step fails, or with ``keep_going`` to the end; return the exit code."""
        try:
            try:
                await self._run_steps(script)
            finally:
                if ended := self._chat.running_tasks:
                    self._output.renderer.remark(ended)
                if problem := await self._chat.close():
                    self._output.renderer.remark(problem)
        except (SwarmError, BackendError, CliError) as error:
            self._report(error, None)
        except BaseException as error:
            self._error = self._error or error
            raise
        finally:
            await self._follow()
            await self._output.finish(self._backend, self._chat.session.info, self._error)
        return getattr(self._error, "exit_code", 0)

    async def _run_steps(self, script: Script) -> None:
        await self._receive()
        for step in script.steps:
            try:
                await self._run_step(step)
                self._output.renderer.check_output()
            except LeaveChat:
                break
            except (SwarmError, BackendError, CliError) as error:
                self._report(error, step.line)
                if not self._keep_going:
                    return
            if self._output.renderer.reader_left:
                # Nobody would read further answers.
                return
        await self._finish_tasks()

    def _report(self, error: Exception, line: int | None) -> None:
        self._error = self._error or error
        self._output.renderer.error(str(error) if line is None else f"line {line}: {error}")

    async def _run_step(self, step: Step) -> None:
        if not step.command:
            await self._run_turn(step.message, step.line)
            return
        # One question needs no commands.
        from swarmchat.cli.slash.builtin import run_command

        outcome = await run_command(self._chat, step.text)
        await self._follow()
        for warning in outcome.warnings:
            self._output.renderer.remark(f"warning: {warning}")
        if outcome.next_session is not None:
            await self._finish_tasks()
            if problem := await self._chat.switch_to(outcome.next_session):
                self._output.renderer.remark(problem)
            await self._follow()
        if outcome.page:
            self._output.renderer.page(outcome.page)
        if outcome.remark:
            self._output.renderer.remark(outcome.remark)
        send = outcome.send
        if outcome.attach is not None and isinstance(send, str):
            send, remark = with_files(send, mentioned(f"{outcome.attach}\n{step.text}"), self._chat.settings.max_input)
            if remark:
                self._output.renderer.remark(remark)
        if send is not None:
            await self._run_turn(send, step.line)

    async def _receive(self) -> None:
        """Show the messages that wait for the session, and the turns of the agents that they wake.

        Where all answers are of one type, the first turn receives them: a reaction is not of that type.
        """
        if self._kind is None and await self._chat.session.wait_for_mail(0):
            await self._show_turn("", None, self._chat.session.receive())

    async def _finish_tasks(self) -> None:
        """Wait for the tasks in the background; show their results, and the turns of the agents that they wake."""
        tasks = self._chat.session.tasks
        while tasks.running:
            await tasks.wait()
            await self._receive()

    async def _run_turn(self, message: Asked, line: int | None) -> None:
        await self._show_turn(text_in(message), line, self._chat.session.run_turn(message, output=self._kind))

    async def _show_turn(self, text: str, line: int | None, events: AsyncGenerator[Event, None]) -> None:
        session, output = self._chat.session, self._output
        turns_before, stored = session.info.highest_turn, -1
        recovered, shown = True, ""
        failure: BaseException | None = None
        output.begin_turn(text, line)
        try:
            async for event in events:
                output.show(event)
                if (count := session.conversation.journal.log.next_seq) != stored:
                    stored = count
                    await self._follow()
                if isinstance(event, TextDelta):
                    shown += event.text
                elif isinstance(event, TurnEnded):
                    recovered = event.recovered
                    if self._kind is not None and event.finish == "refused":
                        raise OutputError(f"a policy refused: {event.text}")
            if self._strict and recovered and self._shows_call(text, shown):
                raise RescueExhausted("the answer shows a tool call as text: ask again, or try another model")
            if self._strict and not recovered:
                raise RescueExhausted("the model gave no usable answer: ask again, or try another model")
        except BaseException as error:
            failure = error
            raise
        finally:
            turn = session.info.highest_turn if session.info.highest_turn > turns_before else None
            output.end_turn(turn, session.agent.name, failure)
            await self._follow()

    def _shows_call(self, question: str, answer: str) -> bool:
        """Whether ``answer`` shows the user a call of a tool, though the ``question`` is not about calls or code."""
        from swarmchat.swarm.parsing.embedded_calls import shows_call
        from swarmchat.swarm.parsing.question_kind import asks_about_calls, asks_for_code

        names = [each.name for each in self._chat.session.agent.tools if isinstance(each, Tool)]
        is_asked_for = asks_about_calls(question, names) or asks_for_code(question)
        return not is_asked_for and shows_call(answer, names)

    async def _follow(self) -> None:
        await self._output.follow(self._backend, self._chat.session.info)
