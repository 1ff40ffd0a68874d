"""Logins to a real MCP server that wants one, and its tokens."""

import json
import socket
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import parse_qs, urlsplit
from urllib.request import urlopen

import pytest
import warm
from redis_server import free_port
from terminal import ENTER

HELPER = str(Path(__file__).parents[2] / "helpers" / "mcp_oauth_server.py")


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def serving(**environment: str) -> Iterator[int]:
    """A server whose tokens hold for a second, as it says."""
    port = free_port()
    process = subprocess.Popen(
        warm.line(HELPER, str(port)),
        env={"LIFETIME": "1", **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while not listens(port):
            time.sleep(0.05)
        yield port
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with serving() as port:
        yield port


def test_a_login_and_its_tokens(program, port):
    program.invoke("mcp", "add", "hub", "--url", f"http://127.0.0.1:{port}/mcp")
    refused = program.invoke("mcp", "test", "hub")
    assert (refused.out, refused.code) == ("hub: it requires a login: run swarmchat mcp login hub\n", 69)

    login = program.start("mcp", "login", "hub")
    assert login.stdout.readline() == "  open this address in your browser, and log in there:\n"
    address = login.stdout.readline().strip()
    with pytest.raises(HTTPError, match="404") as missing:
        urlopen(parse_qs(urlsplit(address).query)["redirect_uri"][0])
    missing.value.close()
    with urlopen(address) as page:
        assert b"You can close this page" in page.read()
    assert login.communicate()[0] == "logged in to hub: 1 tool\n"
    assert login.returncode == 0

    path = program.home / ".config/swarmchat/mcp-logins/hub.json"
    assert [stat.S_IMODE(each.stat().st_mode) for each in (path, path.parent)] == [0o600, 0o700]
    # The token has expired, so it is renewed, and the new one is kept.
    for _ in range(2):
        before = json.loads(path.read_text("utf-8"))["tokens"]
        assert program.invoke("mcp", "test", "hub").out.startswith("hub: 1 tool\n")
        after = json.loads(path.read_text("utf-8"))["tokens"]
        assert before["refresh_token"] != after["refresh_token"]
    # A file that is damaged is no login.
    intact = path.read_text("utf-8")
    path.write_text(json.dumps({**json.loads(intact), "tokens": 1, "client": [], "expires_at": "x"}), "utf-8")
    assert "it requires a login" in program.invoke("mcp", "test", "hub").out
    path.write_text(intact, "utf-8")
    # Another address does not get it.
    program.invoke("mcp", "add", "hub", "--url", f"http://localhost:{port}/mcp")
    assert "it requires a login" in program.invoke("mcp", "test", "hub").out
    assert program.invoke("mcp", "logout", "hub").out == "logged out of hub\n"
    assert not path.exists()


def test_a_login_with_a_browser_elsewhere(program, port):
    program.invoke("mcp", "add", "hub", "--url", f"http://127.0.0.1:{port}/mcp")
    with program.chat("mcp", "login", "hub", columns=600) as screen:
        screen.wait_for("paste the address of its last page:")
        address = next(line for line in screen.text.splitlines() if line.startswith("http"))
        with closing(HTTPConnection("127.0.0.1", port)) as browser:
            browser.request("GET", address.strip().removeprefix(f"http://127.0.0.1:{port}"))
            ended = browser.getresponse().headers["Location"]
        screen.send("http://127.0.0.1/elsewhere" + ENTER)
        screen.wait_for("expected http://127.0.0.1:…/callback?code=…")
        screen.send(ended + ENTER)
        screen.wait_for("logged in to hub: 1 tool")


def test_a_server_that_takes_no_new_programs(program):
    callback = free_port()
    with serving(CALLBACK=f"http://127.0.0.1:{callback}/callback") as port:
        add = ("mcp", "add", "hub", "--url", f"http://127.0.0.1:{port}/mcp")
        program.invoke(*add)
        refused = program.invoke("mcp", "login", "hub")
        assert (refused.code, "register swarmchat there, and set client_id" in refused.err) == (69, True), refused.err

        program.invoke(
            *add, "--client-id", "desk", "--client-secret", "${HUB_SECRET}", "--callback-port", str(callback)
        )
        assert (
            "needs the environment variable HUB_SECRET, which is not set" in program.invoke("mcp", "login", "hub").err
        )
        for secret, code, said in (
            ("wrong", 69, "rejects client_id or client_secret"),
            ("s3cret", 0, "logged in to hub: 1 tool"),
        ):
            program.env["HUB_SECRET"] = secret
            login = program.start("mcp", "login", "hub")
            login.stdout.readline()
            urlopen(login.stdout.readline().strip()).close()
            assert said in "".join(login.communicate())
            assert login.returncode == code
        assert program.invoke("mcp", "test", "hub").out.startswith("hub: 1 tool\n")
        assert "s3cret" not in (program.home / ".config/swarmchat/mcp-logins/hub.json").read_text("utf-8")
        # The token has expired, and is renewed with the secret only.
        program.env["HUB_SECRET"] = "changed"
        assert "it requires a login" in program.invoke("mcp", "test", "hub").out


def test_logins_that_cannot_be(program, port):
    program.invoke("mcp", "add", "far", "--url", "http://example.com/mcp")
    program.invoke("mcp", "add", "key", "--url", f"http://127.0.0.1:{port}/mcp", "--header", "Authorization=Bearer x")
    program.invoke("mcp", "add", "local", "--", "true")
    for arguments, code, problem in (
        (["login", "far"], 69, "http://example.com is not safe for a login: expected https://…"),
        (["login", "key"], 2, "has the header Authorization in its settings: no login is needed"),
        (["login", "local"], 2, "is a program, and only servers with a url need a login"),
        (["login", "fra"], 2, "no MCP server 'fra'; did you mean 'far'?"),
        (["logout", "far"], 2, "not logged in to MCP server far"),
        (["test", "key"], 69, "cannot be reached: key"),
    ):
        done = program.invoke("mcp", *arguments)
        assert (done.code, problem in done.err) == (code, True), done.err
    assert "rejects the Authorization header" in program.invoke("mcp", "test", "key").out
