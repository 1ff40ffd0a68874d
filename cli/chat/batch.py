"""Run turns without a prompt: one question, or the steps of a script in their order."""

from collections.abc import Mapping, Sequence
from typing import Any

from swarmchat.backends import Backend, BackendError
from swarmchat.cli.app.signals import run_until_signal
from swarmchat.cli.chat.opener import check_names, opening
from swarmchat.cli.chat.script import Step, check_script
from swarmchat.cli.errors import CliError, RescueExhausted, UsageError
from swarmchat.cli.render.outputs import OUTPUTS, Output, make_output
from swarmchat.cli.settings import wiring
from swarmchat.cli.slash.builtin import LeaveChat, run_command
from swarmchat.cli.slash.chat_context import ChatContext
from swarmchat.swarm.conversation.events import TurnEnded
from swarmchat.swarm.errors import SwarmError


async def run_steps(
    flags: Mapping[str, Any],
    steps: Sequence[Step],
    form: str,
    *,
    name: str = "",
    session: str | None,
    resume: bool,
    strict: bool,
    keep_going: bool = False,
) -> int:
    """Check ``steps`` of the script ``name``, carry them out, print in the form ``form``; return the exit code.

    Raises UsageError for what makes no sense, and what opening the session raises.
    """
    check_names(session, resume)
    if form not in OUTPUTS:
        raise UsageError(f"--output is {form!r}, expected one of {', '.join(OUTPUTS)}")
    settings = wiring.apply_settings(flags)
    codes: list[int] = []

    async def work() -> None:
        async with opening(settings, interactive=False) as opener:
            check_script(steps, opener.swarm, name)
            output = make_output(form)
            chat = await opener.open_chat(session, resume, output.renderer.remark)
            run = ScriptedRun(chat, opener.backend, output, strict=strict, keep_going=keep_going)
            codes.append(await run.run(steps))

    await run_until_signal(work(), "SIGINT", "SIGTERM", "SIGHUP")
    return codes[0]


class ScriptedRun:
    """Carries out steps in ``session``, and in those that the script goes on in; closes the last one."""

    def __init__(
        self, chat: ChatContext, backend: Backend, output: Output, *, strict: bool = False, keep_going: bool = False
    ) -> None:
        self._chat = chat
        self._backend = backend
        self._output = output
        self._strict = strict
        self._keep_going = keep_going
        self._error: BaseException | None = None
        """The first one."""

    async def run(self, steps: Sequence[Step]) -> int:
        """Carry out ``steps`` until one fails, or with ``keep_going`` all of them; return the exit code."""
        try:
            try:
                await self._run(steps)
            finally:
                await self._chat.session.close()
        except (SwarmError, BackendError, CliError) as error:
            self._failed(error, None)
        except BaseException as error:
            self._error = self._error or error
            raise
        finally:
            await self._output.finish(self._backend, self._chat.session.info, self._error)
        return getattr(self._error, "exit_code", 0)

    async def _run(self, steps: Sequence[Step]) -> None:
        for step in steps:
            try:
                await self._step(step)
                self._output.renderer.check_output()
            except LeaveChat:
                return
            except (SwarmError, BackendError, CliError) as error:
                self._failed(error, step.line)
                if not self._keep_going:
                    return
            if self._output.renderer.reader_left:
                # What nobody reads is not asked for.
                return

    def _failed(self, error: Exception, line: int | None) -> None:
        self._error = self._error or error
        self._output.renderer.error(str(error) if line is None else f"line {line}: {error}")

    async def _step(self, step: Step) -> None:
        if not step.command:
            await self._turn(step.text, step.line)
            return
        outcome = await run_command(self._chat, step.text)
        await self._follow()
        if outcome.next_session is not None:
            await self._chat.switch_to(outcome.next_session)
            await self._follow()
        if outcome.page:
            self._output.renderer.page(outcome.page)
        if outcome.remark:
            self._output.renderer.remark(outcome.remark)
        if outcome.send is not None:
            await self._turn(outcome.send, step.line)

    async def _turn(self, text: str, line: int | None) -> None:
        session, output = self._chat.session, self._output
        before, stored = session.turns, -1
        ended: TurnEnded | None = None
        failed: BaseException | None = None
        output.begin_turn(text, line)
        try:
            async for event in session.run_turn(text):
                output.show(event)
                if (count := session.conversation.journal.log.next_seq) != stored:
                    stored = count
                    await self._follow()
                if isinstance(event, TurnEnded):
                    ended = event
            if self._strict and ended is not None and not ended.recovered:
                raise RescueExhausted("the model gave no answer that could be used: ask again, or try another model")
        except BaseException as error:
            failed = error
            raise
        finally:
            turn = session.turns if session.turns > before else None
            output.end_turn(turn, session.agent.name, failed)
            await self._follow()

    async def _follow(self) -> None:
        await self._output.follow(self._backend, self._chat.session.info)
