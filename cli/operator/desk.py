"""The desk of an operator at a terminal: the waiting users, and the conversation with one of them."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress

from prompt_toolkit import PromptSession
from prompt_toolkit.history import InMemoryHistory
from prompt_toolkit.patch_stdout import patch_stdout
from swarmchat.backends import BackendError
from swarmchat.cli.errors import UsageError
from swarmchat.cli.operator.waiting import Waiting, unreadable_line, waiting_lines, who_waits
from swarmchat.cli.render.renderer import Renderer
from swarmchat.cli.replay.player import Player
from swarmchat.cli.terminal.sanitize import one_line
from swarmchat.swarm.common.encoding import decode_json
from swarmchat.swarm.common.names import nearest
from swarmchat.swarm.errors import SwarmError
from swarmchat.swarm.session.desk import OperatorCase, OperatorDesk

_LOOK = 30.0
"""Seconds after which the desk looks by itself: a bell may be lost with the process that was to ring it."""
_SHOWN = 40
"""Records of a conversation that are shown when it is taken."""

_HELP = """\
/list               list the waiting users
/take N             take number N of the list; N alone is enough
/back [AGENT] NOTE  hand the user back to an agent; the user does not see the note
/leave              let the user wait for somebody else
/state  /memory     show the user's stored data
/call TOOL [JSON]   call a tool; the user's program runs it
/quit               close the desk; a user whom you have taken waits again
anything else is sent to the user; a line that begins with / is sent with //"""


class DeskChat:
    """The loop of a desk."""

    def __init__(self, desk: OperatorDesk) -> None:
        self._desk = desk
        self._case: OperatorCase | None = None
        self._player = Player(0)
        self._renderer: Renderer
        self._waiting: list[Waiting] = []
        self._listed = ""
        self._busy = asyncio.Lock()
        self._commands: dict[str, Callable[[str], Awaitable[None]]] = {
            "list": self._list,
            "take": self._take,
            "back": self._back,
            "leave": self._leave,
            "state": self._state,
            "memory": self._memory,
            "call": self._call,
            "help": self._help,
        }

    async def run(self) -> None:
        """Serve until the operator leaves."""
        import sys

        from swarmchat.cli.terminal.capabilities import wants_colour

        colour = wants_colour(sys.stdout)
        prompt: PromptSession[str] = PromptSession(history=InMemoryHistory())
        with patch_stdout(raw=True):
            self._renderer = Renderer(sys.stdout, sys.stdout, chat=True, colour=colour)
            self._renderer.remark(f"desk of {self._desk.person}, swarm {self._desk.swarm.name}; /help lists commands")
            watch = asyncio.ensure_future(self._watch())
            try:
                await self._serve(prompt)
            finally:
                watch.cancel()
                with suppress(asyncio.CancelledError):
                    await watch
                if self._case is not None:
                    await self._guarded(self._leave(""))

    async def _serve(self, prompt: "PromptSession[str]") -> None:
        while True:
            try:
                line = (await prompt.prompt_async(self._head)).strip()
            except EOFError:
                return
            except KeyboardInterrupt:
                self._renderer.remark("Ctrl-D closes the desk")
                continue
            if line in ("/quit", "/exit"):
                return
            async with self._busy:
                await self._guarded(self._handle(line))

    def _head(self) -> str:
        client = "desk" if self._case is None else f"to {one_line(self._case.client, 20)}"
        return f"{client} ❯ "

    async def _handle(self, line: str) -> None:
        if line.startswith("/") and not line.startswith("//"):
            name, _, argument = line[1:].partition(" ")
            if name not in self._commands:
                raise UsageError(f"unknown command /{name}; {nearest(name, self._commands)}")
            await self._commands[name](argument.strip())
        elif self._case is not None and line:
            await self._case.say(line.removeprefix("/") if line.startswith("//") else line)
            if not await self._case.is_client_here():
                self._renderer.remark("the user is away and reads it when the session is opened again")
        elif line.isdecimal():
            await self._take(line)
        elif line:
            raise UsageError("no user to send this to: take one with /take N first")
        else:
            await self._list("")

    async def _guarded(self, work: Awaitable[None]) -> None:
        try:
            await work
        except (SwarmError, BackendError, UsageError) as error:
            self._renderer.error(str(error))

    async def _watch(self) -> None:
        """Show changes: to the list while no user is taken, otherwise to the conversation."""
        while True:
            async with self._busy:
                await self._guarded(self._look())
            try:
                await self._desk.wait(_LOOK)
            except BackendError as error:
                self._renderer.error(str(error))
                await asyncio.sleep(_LOOK)

    async def _look(self) -> None:
        if self._case is None:
            self._waiting = await who_waits(self._desk)
            known = repr([(ticket.client, ticket.session, ticket.taken_by) for ticket, _ in self._waiting])
            if known != self._listed:
                self._listed = known
                self._print_list()
            return
        await self._follow(self._case)
        if not await self._case.is_mine():
            await self._follow(self._case)
            await self._case.drop()
            self._end("the user is no longer with you")

    async def _follow(self, case: OperatorCase) -> None:
        """Show the new records of the conversation."""
        async for record in case.new_records():
            # What was typed here is on the screen already.
            if record.text("id") not in case.sent or record.data.get("act") == "result":
                await self._player.play(record)
        self._player.end()

    def _end(self, remark: str) -> None:
        self._case = None
        self._listed = ""
        self._renderer.remark(remark)

    def _print_list(self) -> None:
        for line in waiting_lines(self._waiting):
            self._renderer.remark(line)
        if self._desk.unreadable:
            self._renderer.remark(unreadable_line(self._desk.unreadable))

    async def _list(self, argument: str) -> None:
        self._waiting = await who_waits(self._desk)
        self._print_list()

    async def _take(self, argument: str) -> None:
        if self._case is not None:
            raise UsageError("you have a user already: /back hands over to an agent, /leave lets the user wait")
        numbers = [str(number) for number in range(1, len(self._waiting) + 1)]
        if argument not in numbers:
            raise UsageError(f"{argument!r} is not a number in the list (1 to {len(self._waiting)}): /list shows it")
        ticket, info = self._waiting[numbers.index(argument)]
        self._case = await self._desk.take(ticket.client, ticket.session)
        self._player = Player(0, one_line(ticket.client, 40))
        self._renderer.remark(f"you have {one_line(ticket.client, 40)}, session {one_line(info.name, 40)}")
        await self._case.skip_to_last(_SHOWN)
        await self._follow(self._case)

    def _taken(self) -> OperatorCase:
        if self._case is None:
            raise UsageError("you have no user: take one with /take N first")
        return self._case

    async def _back(self, argument: str) -> None:
        case = self._taken()
        first, _, rest = argument.partition(" ")
        named = first in self._desk.swarm.names
        agent = await case.give_back(rest.strip() if named else argument, first if named else None)
        await self._follow(case)
        self._end(f"{one_line(case.client, 40)} is with {agent} again")

    async def _leave(self, argument: str) -> None:
        case = self._taken()
        await case.leave()
        self._end(f"{one_line(case.client, 40)} waits for somebody else")

    async def _state(self, argument: str) -> None:
        primitives = await self._taken().primitives()
        for state in self._desk.swarm.states:
            if argument in ("", state.name):
                value = json.loads(state.encode(await primitives.state(state.name).get()))
                self._renderer.page(f"{state.name}: {json.dumps(value, ensure_ascii=False)}")

    async def _memory(self, argument: str) -> None:
        entries = await (await self._taken().primitives()).memory.all()
        lines = [f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in entries.items()]
        self._renderer.page("\n".join(lines) or "memory is empty")

    async def _call(self, argument: str) -> None:
        name, _, text = argument.partition(" ")
        try:
            arguments = decode_json(text) if text.strip() else {}
        except ValueError as error:
            raise UsageError(f"the arguments of {name} are not JSON ({error}); expected an object in braces") from None
        if not isinstance(arguments, dict):
            raise UsageError(f"the arguments of {name} are {text!r}, expected a JSON object in braces")
        await self._taken().call(name, arguments)

    async def _help(self, argument: str) -> None:
        self._renderer.page(_HELP)
