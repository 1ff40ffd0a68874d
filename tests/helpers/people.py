"""A user, an operator, a script that tells and one that waits, on one store, each killed with -9 again and again.

The user also asks for tasks: in the background, which the kills interrupt, and of an agent that is used as a tool.

    python tests/helpers/people.py redis://localhost 100 log.jsonl
    python tests/helpers/people.py disk:FOLDER/sessions 100 log.jsonl

The user and the operator sit at real terminals. What the store has once accepted, in a mailbox or in the log, must be
in the log exactly once in the end, and each agent's context must be one that servers accept.
"""

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

import warm
from chat_rules import check_messages
from swarmchat.backends import Backend, open_backend
from swarmchat.swarm import DemoModel, Session, read_records
from swarmchat.swarm.agents.loader import load_swarm
from swarmchat.swarm.common.messages import text_of
from swarmchat.swarm.persistence import keys
from swarmchat.swarm.persistence.mailbox import parse_mail
from swarmchat.swarm.persistence.records import Record, parse_record
from terminal import ENTER, Terminal

CLIENT, SESSION = "ann", "s"
PROCESSES = ("user", "operator", "tell", "wait")
_PROGRAM = [sys.executable, "-m", "swarmchat.cli"]


class Scenario:
    """The four processes, and what was seen of their messages."""

    def __init__(self, url: str, environment: Mapping[str, str], seed: int = 20260102) -> None:
        self.url = url
        self.told: set[str] = set()
        """Messages whose sender was told that they wait."""
        self.accepted: set[str] = set()
        """What was in the mailbox or in the log after a kill."""
        self.kills: Counter[str] = Counter()
        self._environment = dict(environment)
        self._store = ["-S", "helpdesk", "-b", url.partition(":")[0]]
        if url.startswith("redis"):
            self._environment["SWARMCHAT_REDIS_URL"] = url
        else:
            self._environment["SWARMCHAT_DATA_DIR"] = str(Path(url.partition(":")[2]).parent)
        self._rng = random.Random(seed)
        self._numbers = iter(range(1_000_000))
        self._screens: dict[str, Terminal] = {}
        self._scripts: dict[str, tuple[str, warm.Piped | subprocess.Popen[bytes]]] = {}

    def run(self, kills: int) -> None:
        """Have them talk until each of the four was killed ``kills`` times."""
        try:
            while alive := [name for name in PROCESSES if self.kills[name] < kills]:
                self._start()
                for _ in range(self._rng.randrange(2, 16)):
                    self._act()
                    self._listen(self._rng.uniform(0.02, 0.4))
                # A script that tells ends soon by itself: another one begins.
                self._start()
                self._listen(self._rng.uniform(0, 0.3))
                self._kill(self._rng.choice(alive))
            self._listen(1)
        finally:
            for screen in self._screens.values():
                screen.process.kill(signal.SIGKILL)
                screen.process.close(force=True)
            for _, script in self._scripts.values():
                script.kill()
                script.communicate()

    def _start(self) -> None:
        """Start what does not run."""
        commands = {
            "user": ["chat", *self._store, "-m", "demo", "--client", CLIENT, "-s", SESSION],
            "operator": ["operator", *self._store, "--name", "Anna"],
        }
        for name, command in commands.items():
            if name not in self._screens:
                command = [*_PROGRAM, *command]
                self._screens[name] = Terminal(command, env=self._environment, columns=80, rows=24, cwd=None)
                self._listen(1.5 if not warm.can_be_warm(command, self._environment) else 0.4)
        if "wait" not in self._scripts:
            self._scripts["wait"] = "", self._script("online", "--wait", *self._store)
        self._end_told()
        if "tell" not in self._scripts:
            text = f"t-{next(self._numbers)}"
            arguments = ["sessions", "tell", SESSION, text, "--client", CLIENT, *self._store[2:]]
            self._scripts["tell"] = text, self._script(*arguments)

    def _script(self, *arguments: str) -> "warm.Piped | subprocess.Popen[bytes]":
        command, environment, quiet = [*_PROGRAM, *arguments], self._environment, subprocess.DEVNULL
        if warm.can_be_warm(command, environment):
            return warm.Piped(command, env=environment, cwd=None, stdin=quiet)
        return subprocess.Popen(command, env=environment, stdin=quiet, stdout=quiet, stderr=quiet)

    def _end_told(self) -> None:
        text, script = self._scripts.get("tell", ("", None))
        if script is not None and script.poll() is not None:
            script.communicate()
            if script.returncode == 0:
                self.told.add(text)
            del self._scripts["tell"]

    def _act(self) -> None:
        """Type a line at one of the terminals."""
        name = self._rng.choice([*self._screens])
        number = next(self._numbers)
        lines = {
            "user": [
                f"u-{number} I want to talk to a person",
                f"u-{number} are red phones in stock?",
                f"u-{number} research planets",
                f"/task researcher Collect: b-{number}",
            ],
            "operator": [
                f"o-{number} hello",
                "1",
                "1",
                f"/back n-{number}",
                f'/call find_fact {{"about": "c-{number}"}}',
            ],
        }
        try:
            self._screens[name].send(self._rng.choice(lines[name]) + ENTER)
        except OSError:
            # It has ended by itself, as a chat whose session another process holds.
            self._screens.pop(name).process.close(force=True)
        self._end_told()

    def _listen(self, seconds: float) -> None:
        """Read what the terminals show, for so long."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for name, screen in [*self._screens.items()]:
                if not screen.read():
                    self._screens.pop(name).process.close(force=True)
            time.sleep(0.01)

    def _kill(self, name: str) -> None:
        if name in self._screens:
            screen = self._screens.pop(name)
            screen.process.kill(signal.SIGKILL)
            screen.process.close(force=True)
        elif name in self._scripts:
            _, script = self._scripts.pop(name)
            script.kill()
            script.communicate()
        else:
            return
        self.kills[name] += 1
        # What the store has accepted by now must not be lost by anything later.
        self.accepted |= asyncio.run(accepted(self.url))


async def accepted(url: str) -> set[str]:
    """Return what identifies the messages in the mailbox and in the log now."""
    backend = open_backend(url)
    try:
        # The mailbox first: what is taken out between the two reads is in the log then.
        waiting = [parse_mail(entry) for entry in await backend.slice(keys.session_mailbox(CLIENT, SESSION), 0)]
        lines = await backend.slice(keys.session_log(CLIENT, SESSION), 0)
    finally:
        await backend.close()
    return {mail.id for mail in waiting if mail} | {*names_of(map(parse_record, lines))}


def names_of(records: Iterable[Record]) -> list[str]:
    """Return what identifies each message of the user or of the mailbox."""
    return [_name(record) for record in records if record.type in ("user", "mail")]


def _name(record: Record) -> str:
    if record.type == "user":
        return text_of(record.message).partition(" ")[0]
    return f"{record.text('id')}{':result' if record.data.get('act') == 'result' else ''}"


async def settle(url: str) -> list[Record]:
    """Receive what still waits, and check what servers would get; return the log."""
    backend = open_backend(url)
    swarm = load_swarm("helpdesk", Path())
    session = await _open(backend)
    try:
        while await session.wait_for_mail(0.2):
            async for _ in session.receive():
                pass
        for agent in swarm.agents:
            if not agent.is_person:
                await session.go_to(agent.name)
                context = await session.context()
                assert check_messages([json.loads(message) for message in context.messages]) is None
        return [record async for record in read_records(backend, session.info)]
    finally:
        await session.close()
        await backend.close()


async def _open(backend: Backend) -> Session:
    swarm = load_swarm("helpdesk", Path())
    return await Session.open(backend, DemoModel(rules=swarm.demo, delay=0), swarm, client=CLIENT, name=SESSION)


def check(scenario: Scenario) -> tuple[list[Record], Counter[str]]:
    """Check that nothing was lost and nothing came twice; return the log, and how often each act is in it."""
    records = asyncio.run(settle(scenario.url))
    assert [record.seq for record in records] == list(range(len(records)))
    names = Counter(names_of(records))
    assert {name: count for name, count in names.items() if count > 1} == {}
    assert scenario.accepted - set(names) == set(), "lost"
    texts = {record.text("text") for record in records if record.type == "mail"}
    assert scenario.told - texts == set()
    calls = [record for record in records if record.data.get("act") == "called"]
    results = [record for record in records if record.data.get("act") == "result"]
    assert len(calls) == len(results)
    # Each task in the background ends once, also when a kill interrupted it.
    started = Counter(record.text("task") for record in records if record.type == "task_start")
    assert Counter(record.text("task") for record in records if record.type == "task_end") == started
    assert set(started.values()) <= {1}
    return records, Counter(record.text("act") or record.type for record in records)


if __name__ == "__main__":
    url, kills, path = sys.argv[1:]
    scenario = Scenario(url, os.environ)
    scenario.run(int(kills))
    records, acts = check(scenario)
    Path(path).write_bytes(b"".join(record.line + b"\n" for record in records))
    print(f"killed: {dict(scenario.kills)}; in the log: {dict(acts)}; told: {len(scenario.told)}")
