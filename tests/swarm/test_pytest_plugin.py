"""The pytest plugin: what it collects, how failures look, and that it costs nothing when it is not used."""

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import warm
from model_server import model_server, text

QUESTION = {"type": "user", "text": "are bananas berries?"}
ANSWER = {"type": "assistant", "text": "Yes, it is a berry."}
YAML = """
swarm: helpdesk
conversations:
  - name: from yaml
    steps:
      - user: are bananas berries?
      - assistant: Yes, it is a berry.
      - expect: {contains: berry}
"""
SHOP = "from swarmchat.swarm import Agent, Swarm\n\nswarm = Swarm('shop', [Agent('clerk', 'You sell tea.')])\n"


def conversation(name: str, expected: str = "berry", swarm: str = "helpdesk", tags=()) -> str:
    session = {"type": "session", "name": name, "swarm": swarm, "tags": list(tags)}
    records = (session, QUESTION, ANSWER, {"type": "expect", "contains": expected})
    return "".join(json.dumps(record) + "\n" for record in records)


def run_pytest(folder: Path, *arguments: str, ini: str = "", env: Mapping[str, str] | None = None) -> tuple[str, int]:
    (folder / "pytest.ini").write_text(f"[pytest]\n{ini}\n", "utf-8")
    # In a fork, plugins have been imported before pytest could rewrite their assertions.
    done = warm.run_python("-m", "pytest", "-W", "ignore:Module already imported", *arguments, env=env, cwd=folder)
    return done.stdout + done.stderr, done.returncode


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    (tmp_path / "one.jsonl").write_text(conversation("same", tags=["smoke"]) + conversation("other", "strawberry"))
    (tmp_path / "two.jsonl").write_text(conversation("same\n name") + conversation("same name"))
    (tmp_path / "tests.yaml").write_text(YAML)
    (tmp_path / "compose.yaml").write_text("services:\n  web: {}\n")
    return tmp_path


def test_conversations_are_tests_also_in_another_process(suite: Path):
    output, code = run_pytest(suite, "--swarmchat", "-n", "1", "-rA")
    results = {name: result for result, name in re.findall(r"^(PASSED|FAILED) (.+?)(?: - .*)?$", output, re.MULTILINE)}
    passed = ("one.jsonl::same", "two.jsonl::same name", "two.jsonl::same name-2", "tests.yaml::from yaml")
    assert results == {**dict.fromkeys(passed, "PASSED"), "one.jsonl::other": "FAILED"}
    assert code == 1
    failure = output[output.index("_ other _") :]
    assert '\nturn 1, line 8: expected an answer that contains "strawberry", got "Yes, it is a berry."\n' in failure
    assert "Error" not in failure, "no line of Python explains a difference"
    assert ".py" not in failure


def test_selection_and_settings(suite: Path):
    output, code = run_pytest(suite, "--swarmchat", "-q", "-k", "smoke or yaml", ini="swarmchat_files = one*.jsonl")
    assert ("1 passed, 1 deselected" in output, code) == (True, 0)
    (suite / "shop.jsonl").write_text(conversation("tea", swarm="shop"))
    output, code = run_pytest(suite, "--swarmchat", "shop.jsonl")
    assert (code, "the setting swarmchat_swarm" in output) == (1, True)
    (suite / "shop.py").write_text(SHOP)
    output, code = run_pytest(
        suite, "--swarmchat", "shop.jsonl", ini="swarmchat_swarm = shop.py\nswarmchat_mode = tools"
    )
    assert ("1 passed" in output, code) == (True, 0)
    for mode, words in (
        ("life", "'life', expected one of verify, tools, live"),
        ("live", "'live', which needs a model"),
    ):
        output, code = run_pytest(suite, "--swarmchat", "--swarmchat-mode", mode)
        assert (code, f"swarmchat_mode is {words}" in output) == (4, True)


def test_a_model_answers_and_later_its_cassette(tmp_path: Path):
    (tmp_path / "tests.yaml").write_text("steps:\n  - user: hi\n  - expect: {contains: tea}\n")
    (tmp_path / "shop.py").write_text(SHOP)
    ini = "swarmchat_swarm = shop.py\nswarmchat_mode = live\nswarmchat_cassette = answers"
    options = ("--swarmchat", "--swarmchat-model", "some-model", "tests.yaml")
    with model_server() as server:
        server.reply(text("Green tea?"))
        env = {**warm.environment(), "OPENAI_API_KEY": "k", "OPENAI_BASE_URL": server.base_url}
        output, code = run_pytest(tmp_path, *options, ini=ini, env=env)
        assert code == 0, output
    # The server is gone.
    (tmp_path / "tests.yaml").write_text("steps:\n  - user: hi\n  - expect: {contains: rum}\n")
    output, code = run_pytest(tmp_path, *options, ini=ini, env=env)
    assert ('turn 1, line 3: expected an answer that contains "rum", got "Green tea?"' in output, code) == (True, 1)


def test_the_rows_of_parameters_are_found_by_name_and_run_again_if_they_failed(tmp_path: Path):
    rows = YAML.replace("    steps:", "    parameters: [{word: berry}, {word: strawberry}]\n    steps:")
    (tmp_path / "tests.yaml").write_text(rows.replace("contains: berry", 'contains: "${word}"'))
    for options in (["tests.yaml::from yaml[strawberry]"], ["--lf"]):
        output, code = run_pytest(tmp_path, "--swarmchat", *options)
        assert (code, "1 failed" in output, "1 passed" in output) == (1, True, False)


def test_an_invalid_file_is_an_error_of_the_collection(tmp_path: Path):
    (tmp_path / "bad.jsonl").write_text(json.dumps(QUESTION) + '\n{"type":"usr"}\n')
    output, code = run_pytest(tmp_path, "--swarmchat")
    assert code == 2
    assert re.search(r"^\S*/bad\.jsonl, line 2: the type is 'usr', expected one of", output, re.MULTILINE)
    assert "Traceback" not in output


def test_unused_it_imports_nothing():
    code = "import sys, pytest, swarmchat.swarm.pytest_plugin; print(*(n for n in sys.modules if 'swarmchat.' in n))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert sorted(done.stdout.split()) == ["swarmchat.swarm", "swarmchat.swarm.pytest_plugin"]
