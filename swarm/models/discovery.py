"""Find model servers on this machine by asking well-known ports for their list of models."""

import http.client
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue

from swarmchat.swarm.common.encoding import decode_json
from swarmchat.swarm.models.server_facts import MAX_MODELS, is_model_name
from swarmchat.swarm.providers.failures import LOADING

_PROGRAMS = {11434: "Ollama", 1234: "LM Studio", 8080: "llama.cpp"}
"""Default ports of servers. 8000 is that of vLLM, llama-cpp-python and others: only their lists tell them apart."""
_OWNERS = {"llamacpp": "llama.cpp", "vllm": "vLLM", "me": "llama-cpp-python"}
"""The owner that some servers give in their list of models, and the server's name."""
_MAX_BODY = 1_000_000
"""Bytes; a longer list of models is ignored."""


@dataclass(frozen=True)
class LocalServer:
    """A server that lists its models, or still loads one: then ``models`` is empty.

    The names come from the server: sanitize them before printing.
    """

    program: str
    base_url: str
    models: tuple[str, ...]


def find_servers(ports: Sequence[int], seconds: float = 1.0) -> list[LocalServer]:
    """Return the servers on ``ports`` of the loopback interface that answer within ``seconds``, in that order.

    Sends only ``GET /v1/models``, without a key. Blocks for about ``seconds`` at most.
    """
    deadline = time.monotonic() + seconds
    servers: dict[int, LocalServer | None] = {}
    answers: SimpleQueue[tuple[int, LocalServer | None]] = SimpleQueue()
    for port in dict.fromkeys(ports):
        # Daemon threads: a server that never finishes its answer must not delay the end of the program.
        threading.Thread(target=_probe, args=(port, deadline, answers), name=f"look at {port}", daemon=True).start()
    while len(servers) < len(set(ports)):
        try:
            port, server = answers.get(timeout=max(0.0, deadline - time.monotonic()))
        except Empty:
            break
        servers[port] = server
    return [server for port in dict.fromkeys(ports) if (server := servers.get(port)) is not None]


def _probe(port: int, deadline: float, answers: "SimpleQueue[tuple[int, LocalServer | None]]") -> None:
    try:
        answers.put((port, _list_models(port, deadline)))
    except (OSError, http.client.HTTPException, ValueError):
        # Something else listens there.
        answers.put((port, None))


def _list_models(port: int, deadline: float) -> LocalServer | None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=max(0.01, deadline - time.monotonic()))
    try:
        connection.request("GET", "/v1/models", headers={"Accept": "application/json", "Connection": "close"})
        response = connection.getresponse()
        if response.status not in (200, 503):
            return None
        body = bytearray()
        while piece := response.read1(65536):
            body += piece
            if len(body) > _MAX_BODY or time.monotonic() > deadline:
                return None
    finally:
        connection.close()
    program, base_url = _PROGRAMS.get(port, "a model server"), f"http://localhost:{port}/v1"
    if response.status == 503:
        return LocalServer(program, base_url, ()) if LOADING.search(body.decode("utf-8", "replace")) else None
    answer = decode_json(bytes(body))
    entries = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(entries, list):
        return None
    models = [entry for entry in entries if isinstance(entry, dict) and is_model_name(entry.get("id"))][:MAX_MODELS]
    if not models:
        return None
    program = _OWNERS.get(str(models[0].get("owned_by")), program)
    return LocalServer(program, base_url, tuple(entry["id"] for entry in models))
