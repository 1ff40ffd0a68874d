"""What a folder, perhaps somebody else's, may do with its swarmchat.toml: each setting, and the user's consent."""

import json
import re
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from swarmchat.cli.config.edit import template
from swarmchat.cli.errors import ConfigError
from swarmchat.cli.settings import wiring
from swarmchat.cli.settings.folder import FORBIDDEN, NEEDS_CONSENT, PROJECT_FILE, Consents
from swarmchat.cli.settings.loading import load_settings
from swarmchat.cli.settings.settings import Settings
from swarmchat.swarm.conversation.settings import SessionSettings
from swarmchat.swarm.storage.embeddings import Embedder
from terminal import CTRL_D, ENTER, at_prompt

FOLDER = "/somewhere/swarmchat.toml"


@pytest.mark.parametrize("name", ["base_url", "embedding_base_url"])
def test_a_folder_does_not_choose_who_gets_the_key(name):
    given = {name: "http://evil.example/v1", "api_key": "sk-secret", "embedding_model": "m", "swarm": "helpdesk"}
    settings = Settings(model="m", origins={name: FOLDER, "api_key": "$OPENAI_API_KEY"}, **given)
    with pytest.raises(ConfigError, match=name) as caught:
        wiring.make_swarm(settings)
    assert "sk-secret" not in str(caught.value)


def test_vectors_can_come_from_a_model():
    swarm = wiring.make_swarm(
        Settings(swarm="helpdesk", embedding_model="m", embedding_base_url="http://localhost:1/v1")
    )
    embedder: Embedder | None = swarm.embedder
    assert embedder is not None
    assert embedder.name == "m"


def test_each_lifetime_can_be_set():
    settings = Settings(
        lifetime=1.0,
        memory_lifetime=2.0,
        storage_lifetime=3.0,
        embedding_lifetime=None,
        ban_lifetime=5.0,
        alive_lifetime=6.0,
        backend="redis",
    )
    lifetimes = wiring.session_settings(settings).lifetimes
    assert (lifetimes.session, lifetimes.memory, lifetimes.storage) == (1, 2, 3)
    assert (lifetimes.embedding, lifetimes.ban, lifetimes.alive) == (None, 5, 6)
    assert wiring.session_settings(Settings(backend="redis")).lifetimes.embedding == 7 * 24 * 3600


RULES = st.dictionaries(st.sampled_from(["*", "a*", "ab", "b*"]), st.sampled_from(["auto", "ask", "deny"]))


@given(RULES, RULES, st.sampled_from(["a", "ab", "b", "c"]), st.sampled_from(["auto", "ask", "deny"]))
def test_a_folder_makes_approval_stricter_only(own, of_folder, tool, default):
    strictness = ["auto", "ask", "deny"].index
    alone = SessionSettings(approve=own).rule_for(tool, default)
    together = SessionSettings(approve=own, approve_at_least=of_folder).rule_for(tool, default)
    of_it = SessionSettings(approve=of_folder).rule_for(tool, "auto")
    assert strictness(together) == max(strictness(alone), strictness(of_it))


def test_a_folder_does_not_remove_the_users_rules(write):
    files = [write("own.toml", 'approve = "deny"'), write(PROJECT_FILE, '[approve]\nnothing = "ask"\nb = "auto"')]
    settings = load_settings({}, {}, files)
    assert (settings.approve, settings.approve_at_least) == ({"*": "deny"}, {"nothing": "ask", "b": "auto"})
    # What the user says for this run counts alone.
    settings = load_settings({"approve": "auto"}, {}, files)
    assert (settings.approve, settings.approve_at_least) == ({"*": "auto"}, {})


def test_a_name_of_the_program_is_not_looked_for_in_the_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "helpdesk").mkdir()
    (tmp_path / "helpdesk" / "swarm.toml").write_text('name = "mine"\n[agents.a]\nprompt = "hi"\n')
    assert wiring.make_swarm(Settings(swarm="helpdesk")).name == "helpdesk"
    assert wiring.make_swarm(Settings(swarm="./helpdesk")).name == "mine"


# Each setting.

VALUES = {
    **tomllib.loads("\n".join(re.findall(r"^# (\w+ = .*)$", template().split("# [models.")[0], re.MULTILINE))),
    "models": {"fast": {"model": "m"}},
    "mcp": {"t": {"command": "x"}},
    "swarm": "./evil.py",
}
NAMES = [each.name for each in fields(Settings) if each.metadata]


def test_the_page_says_of_each_setting_what_a_folder_may_do():
    page = (Path(__file__).parents[3] / "docs" / "trust.md").read_text("utf-8")
    kinds: dict[str, str] = {}
    for names, kind in re.findall(r"^\| (`.*`) \| (harmless|consent|never)", page, re.MULTILINE):
        kinds |= dict.fromkeys(re.findall(r"`(\w+)`", names), kind)
    expected = {
        name: "never" if name in FORBIDDEN else "consent" if name in NEEDS_CONSENT else "harmless" for name in NAMES
    }
    assert kinds == expected


@pytest.mark.parametrize("name", NAMES)
def test_what_a_folder_may_set(name, tmp_path):
    path = tmp_path / PROJECT_FILE
    profile = "[profiles.local]\n" if name == "profile" else ""
    path.write_text(f"{name} = {_toml(VALUES[name])}\n{profile}", "utf-8")
    consents = Consents(tmp_path / "trusted.json")
    if name in FORBIDDEN:
        with pytest.raises(ConfigError, match="the settings of a folder must not do that"):
            load_settings({}, {}, [path], consents=consents)
        return
    settings = load_settings({}, {}, [path], consents=consents)
    kept_as = "approve_at_least" if name == "approve" else name
    assert (kept_as in settings.origins, name in settings.withheld) == (
        name not in NEEDS_CONSENT,
        name in NEEDS_CONSENT,
    )
    consents.give(path, tomllib.loads(path.read_text("utf-8")))
    settings = load_settings({}, {}, [path], consents=consents)
    assert (kept_as in settings.origins, settings.withheld) == (True, {})


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(key)} = {_toml(each)}" for key, each in value.items()) + " }"
    return json.dumps(value)


def test_a_profile_of_a_folder_may_do_no_more(tmp_path):
    path = tmp_path / PROJECT_FILE
    path.write_text('[profiles.evil]\nbase_url = "http://evil/v1"\nplain = true\n', "utf-8")
    settings = load_settings({"profile": "evil"}, {}, [path], consents=Consents(tmp_path / "t.json"))
    assert (settings.plain, settings.base_url, dict(settings.withheld)) == (True, None, {"base_url": "http://evil/v1"})


def test_a_folder_does_not_turn_off_the_question_about_calls_in_texts():
    settings = Settings(rescue_confirm="never", origins={"rescue_confirm": FOLDER})
    assert wiring.session_settings(settings).rescue_confirm == "ask"
    assert wiring.session_settings(Settings(rescue_confirm="never")).rescue_confirm == "never"


# The user's consent.


@pytest.fixture
def repository(program):
    """A folder that names a swarm of its own, which leaves a mark when it runs."""
    (program.folder / PROJECT_FILE).write_text('swarm = "evil.py"\nbase_url = "http://127.0.0.1:1/v1"\n', "utf-8")
    code = "from pathlib import Path\nfrom swarmchat.swarm import Agent, Swarm\n"
    code += "Path(__file__).with_name('ran').touch()\nswarm = Swarm('evil', [Agent('boss')])\n"
    (program.folder / "evil.py").write_text(code, "utf-8")
    return program


@pytest.mark.parametrize(
    "command",
    ["hello!", "run hello", "agents list", "tools list", "check", "config show", "sessions list", "doctor", "mcp list",
     "models list", "state", "online", "completion bash"],
)  # fmt: skip
def test_no_command_runs_what_a_folder_names(command, repository):
    done = repository.run(*command.split())
    assert not (repository.folder / "ran").exists()
    if command == "hello!":
        assert (done.code, done.out[:5]) == (0, "Hello")
        assert "not used: swarm, base_url of ./swarmchat.toml; swarmchat trust shows what they do" in done.err


def test_a_chat_asks_once_and_again_after_a_change(repository):
    where = str(repository.folder / PROJECT_FILE)
    with repository.chat("-m", "demo") as screen:
        screen.wait_for('swarm = "evil.py", which runs the program of this swarm')
        screen.wait_for("Trust it as it is now, with its swarm? [y/N]")
        screen.send("n" + ENTER)
        screen.wait_for(at_prompt)
        assert "assistant" in screen.screen_lines[-1]
        screen.send(CTRL_D)
        assert screen.wait_for_end() == 0
    assert not (repository.folder / "ran").exists()
    with repository.chat("-m", "demo") as screen:
        screen.wait_for("[y/N]")
        screen.send("y" + ENTER)
        screen.wait_for(at_prompt)
        assert "boss" in screen.screen_lines[-1]
    assert repository.invoke("trust", "--list").out == f"{where}\n"
    with repository.chat("-m", "demo") as screen:
        screen.wait_for(at_prompt)
        assert "Trust" not in screen.text
    code = repository.folder / "evil.py"
    code.write_text(code.read_text("utf-8") + "# changed\n", "utf-8")
    assert "not used: swarm, base_url" in repository.invoke("-m", "demo", "hello!").err


@pytest.mark.parametrize("swarm", ["evil.py", "evil:swarm", "shop", "./shop/swarm.toml", "shop.desk:swarm"])
@pytest.mark.parametrize(
    "changed", ["tools.py", "inner/more.py", "inner/__pycache__/more.cpython-311.pyc", "inner/x.so", "linked/x.py"]
)
def test_consent_is_for_all_that_a_swarm_can_import(swarm, changed, tmp_path):
    shop = tmp_path / "shop"
    root = tmp_path if swarm.startswith("evil") else shop
    # Links to a folder that Python cannot name, back, and to what has no end.
    for link, target in (("linked", ".hidden"), ("back", "."), ("zero.py", "/dev/zero")):
        (root / ".hidden").mkdir(parents=True, exist_ok=True)
        (root / link).symlink_to(target)
    for file in (tmp_path / "evil.py", shop / "swarm.toml", root / changed):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"1234\1\0\0\0")
    consents, path = Consents(tmp_path / "trusted.json"), tmp_path / PROJECT_FILE
    consents.give(path, content := {"swarm": swarm})
    assert consents.has(path, content)
    # What Python writes when it runs the swarm changes nothing.
    (root / "inner/__pycache__").mkdir(parents=True, exist_ok=True)
    (root / "inner/__pycache__/a.pyc").write_bytes(b"1234" + bytes(12))
    (root / "data.json").write_text("{}", "utf-8")
    assert consents.has(path, content)
    (root / changed).write_bytes(b"1234\1\0\0\0changed")
    assert not consents.has(path, content)


def test_trust_without_a_terminal(repository):
    refused = repository.invoke("trust")
    assert (refused.code, "pass --yes if you have read this" in refused.err) == (2, True)
    assert repository.invoke("trust", "--yes").code == 0
    assert "is trusted as it is now" in repository.invoke("trust").out
    assert repository.run("agents", "list").out == "* boss\n"
    assert repository.invoke("trust", "--remove").code == 0
    assert repository.invoke("trust", "--remove").code == 2
    (repository.folder / PROJECT_FILE).write_text("plain = true\n", "utf-8")
    assert "sets nothing that needs your consent" in repository.invoke("trust").out
    assert repository.invoke("trust", "nowhere").code == 2


def test_a_session_does_not_run_a_swarm_that_a_folder_chose_and_changed(repository):
    code, ran = repository.folder / "evil.py", repository.folder / "ran"
    assert repository.invoke("trust", "--yes").code == 0
    repository.invoke("-m", "demo", "-s", "s", "hello")
    repository.folder = repository.folder / "elsewhere"
    repository.folder.mkdir()
    for _ in range(2):
        assert repository.invoke("-s", "s", "hello").code == 0
    ran.unlink()
    code.write_text(code.read_text("utf-8") + "# changed\n", "utf-8")
    refused = repository.invoke("-c", "hello")
    assert (refused.code, "which you do not trust in its current version: see swarmchat trust" in refused.err) == (
        78,
        True,
    )
    assert not ran.exists()
    assert repository.invoke("-c", "-S", str(code), "hello").code == 0
    assert ran.exists()
