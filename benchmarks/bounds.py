"""What a server that ignores every bound costs the program: ``python -m benchmarks.bounds`` prints the table of
docs/models.md, with the highest memory and the processor time of each run."""

import json
import os
import random
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import repeat
from multiprocessing import Process
from pathlib import Path
from subprocess import PIPE, Popen
from threading import Thread

_MB = 1_000_000
_PIECE = b"x" * 65_536
_WORDS = ["".join(random.Random(number).choices("abcdefghijklmnopqrstuvwxyz", k=7)) for number in range(5_000)]
Body = Iterator[bytes]


def _delta(**delta: object) -> bytes:
    return b"data: " + json.dumps({"choices": [{"index": 0, "delta": delta}]}).encode() + b"\n\n"


def _text() -> Body:
    # Words in no order: an answer that repeats itself is ended much sooner.
    draw = random.Random(1)
    yield from (_delta(content=" ".join(draw.choices(_WORDS, k=125))) for _ in range(150_000))


def _calls() -> Body:
    for number in range(200_000):
        function = {"name": "f", "arguments": "{}"}
        yield _delta(tool_calls=[{"index": number, "id": f"c{number}", "type": "function", "function": function}])


def _gzip() -> Body:
    compressor = zlib.compressobj(9, wbits=zlib.MAX_WBITS | 16)
    yield from (compressor.compress(bytes(_MB)) for _ in range(1000))
    yield compressor.flush()


def _models() -> Body:
    entries = ",".join(json.dumps({"id": f"m{number}"}) for number in range(300_000))
    yield f'{{"data":[{entries}]}}'.encode()


_EVENTS, _JSON = {"Content-Type": "text/event-stream"}, {"Content-Type": "application/json"}
_ATTACKS: dict[str, tuple[int, dict[str, str], Callable[[], Body]]] = {
    "a plain answer": (200, _EVENTS, lambda: iter([_delta(content="fine"), b"data: [DONE]\n\n"])),
    "150 MB of text in chunks": (200, _EVENTS, _text),
    "200,000 tool calls": (200, _EVENTS, _calls),
    "one line of 100 MB": (200, _EVENTS, lambda: iter([b"data: ", *repeat(_PIECE, 1600)])),
    "a gzip body of 1 GB": (200, _EVENTS | {"Content-Encoding": "gzip"}, _gzip),
    "an error body of 315 MB": (400, _JSON, lambda: iter([b'{"error":{"message":"', *repeat(_PIECE, 4800)])),
    "comments without end": (200, _EVENTS, lambda: repeat(b": still here\n\n" * 1000)),
    "a list of 300,000 models": (200, _JSON, _models),
}


class _Attacker(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._attack()

    def do_GET(self) -> None:
        # Only the list of models is an attack: it is looked at before each question, too.
        if "300" in self.path:
            self._attack()
        else:
            self.send_error(404)

    def _attack(self) -> None:
        status, headers, body = _ATTACKS[list(_ATTACKS)[int(self.path.split("/")[2])]]
        self.send_response(status)
        for name, value in (headers | {"Transfer-Encoding": "chunked"}).items():
            self.send_header(name, value)
        self.end_headers()
        self.close_connection = True
        try:
            for piece in filter(None, body()):
                self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            self.wfile.write(b"0\r\n\r\n")
        except OSError:
            # The program has had enough.
            return

    def log_message(self, *_: object) -> None:
        """Print nothing."""


def _measure(command: list[str], size: int, home: Path) -> tuple[str, int, float]:
    """Run the program with ``size`` bytes as input; return its last line, its memory in MB, and its CPU seconds."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {"HOME": str(home), "PATH": path, "OPENAI_API_KEY": "none"}
    program = [str(Path(sys.executable).with_name("swarmchat")), *command]
    with tempfile.TemporaryFile() as source:
        source.truncate(size)
        process = Popen(program, env=environment, cwd=home, stdin=source, stdout=PIPE, stderr=PIPE)
        last: dict[str, bytes] = {}
        readers = [Thread(target=_keep_last, args=(process, name, last)) for name in ("stdout", "stderr")]
        for reader in readers:
            reader.start()
        _, _, used = os.wait4(process.pid, 0)
        for reader in readers:
            reader.join()
    line = (last["stderr"] or last["stdout"]).decode("utf-8", "replace").strip().rpartition("\n")[2]
    return line[-100:], used.ru_maxrss * 1024 // _MB, used.ru_utime + used.ru_stime


def _keep_last(process: "Popen[bytes]", name: str, last: dict[str, bytes]) -> None:
    last[name] = b""
    for piece in iter(lambda: os.read(getattr(process, name).fileno(), 65_536), b""):
        last[name] = (last[name] + piece)[-300:]


def main() -> None:
    """Measure each attack, and print the table."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Attacker)
    server.daemon_threads = True
    # A process of its own: what this one has in memory is counted for its children, too.
    attacker = Process(target=server.serve_forever, daemon=True)
    attacker.start()
    print("| sent | ends with | memory | CPU time |\n| --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        home, commands = Path(folder), dict[str, tuple[list[str], int]]()
        for number, name in enumerate(_ATTACKS):
            address = f"http://127.0.0.1:{server.server_port}/{'300' if 'models' in name else 'x'}/{number}/v1"
            question = ["models", "list"] if "models" in name else ["-b", "memory", "-m", "m", "hello there"]
            commands[name] = ([*question, "--base-url", address], 0)
        demo = ["-b", "memory", "-m", "demo"]
        commands["100 MB from standard input"] = (demo, 100 * _MB)
        commands["a hook that prints without end"] = ([*demo, "hello there"], 0)
        settings = home / ".config" / "swarmchat" / "config.toml"
        settings.parent.mkdir(parents=True)
        settings.touch()
        # The first answer of all writes a vocabulary to the disk.
        _measure(*next(iter(commands.values())), home)
        for name, (command, size) in commands.items():
            settings.write_text('[hooks]\nbefore_turn = ["yes"]\n' if "hook" in name else "")
            line, memory, seconds = _measure(command, size, home)
            print(f"| {name} | {line} | {memory} MB | {seconds:.1f} s |", flush=True)
    attacker.terminate()


if __name__ == "__main__":
    main()
