"""Find model servers on this machine: which well-known ports answer, and which models they list."""

import http.client
import json
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue

_PROGRAMS = {11434: "Ollama", 1234: "LM Studio", 8080: "llama.cpp", 8000: "vLLM"}
"""Who listens where, unless told otherwise."""
_OWNERS = {"llamacpp": "llama.cpp", "vllm": "vLLM"}
"""What some servers call themselves in the list of their models."""
_LARGEST = 1_000_000


@dataclass(frozen=True)
class LocalServer:
    """A server that lists its models. It chose their names: sanitize them before printing."""

    program: str
    base_url: str
    models: tuple[str, ...]


def find_servers(ports: Sequence[int], seconds: float = 1.0) -> list[LocalServer]:
    """Return the servers at ``ports`` of the loopback interface that list models within ``seconds``, in this order.

    Nothing but ``GET /v1/models`` is sent, and no key. Blocks for at most about ``seconds``.
    """
    deadline = time.monotonic() + seconds
    found: dict[int, LocalServer | None] = {}
    answers: SimpleQueue[tuple[int, LocalServer | None]] = SimpleQueue()
    for port in dict.fromkeys(ports):
        # Of their own, so that a server that keeps one busy holds up nobody, not even the end of the program.
        threading.Thread(target=_look, args=(port, deadline, answers), name=f"look at {port}", daemon=True).start()
    while len(found) < len(set(ports)):
        try:
            port, server = answers.get(timeout=max(0.0, deadline - time.monotonic()))
        except Empty:
            break
        found[port] = server
    return [server for port in dict.fromkeys(ports) if (server := found.get(port)) is not None]


def _look(port: int, deadline: float, answers: "SimpleQueue[tuple[int, LocalServer | None]]") -> None:
    try:
        answers.put((port, _ask(port, deadline)))
    except (OSError, http.client.HTTPException, ValueError, RecursionError):
        # Whatever listens there, it is no server of models.
        answers.put((port, None))


def _ask(port: int, deadline: float) -> LocalServer | None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=max(0.01, deadline - time.monotonic()))
    try:
        connection.request("GET", "/v1/models", headers={"Accept": "application/json", "Connection": "close"})
        response = connection.getresponse()
        if response.status != 200:
            return None
        body = b""
        while piece := response.read1(65536):
            body += piece
            if len(body) > _LARGEST or time.monotonic() > deadline:
                return None
    finally:
        connection.close()
    answer = json.loads(body)
    entries = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(entries, list):
        return None
    named = [entry for entry in entries if isinstance(entry, dict) and isinstance(entry.get("id"), str)]
    if not named:
        return None
    owner = named[0].get("owned_by")
    program = _OWNERS.get(owner, "") if isinstance(owner, str) else ""
    program = program or _PROGRAMS.get(port, "a model server")
    return LocalServer(program, f"http://localhost:{port}/v1", tuple(entry["id"] for entry in named))
