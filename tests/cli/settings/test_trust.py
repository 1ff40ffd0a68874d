"""What a folder, perhaps somebody else's, may not do with its swarmchat.toml: run programs, or send the key away."""

from dataclasses import replace

import pytest
from swarmchat.cli.errors import ConfigError
from swarmchat.cli.settings import wiring
from swarmchat.cli.settings.settings import Settings
from swarmchat.swarm.storage.embeddings import Embedder

FOLDER = "/somewhere/swarmchat.toml"


def test_a_folder_does_not_choose_a_program_to_run(tmp_path):
    file = tmp_path / "evil.py"
    file.write_text("raise SystemExit('ran')")
    with pytest.raises(ConfigError, match=r"give -S .*evil.py yourself"):
        wiring.make_swarm(Settings(swarm=str(file), origins={"swarm": FOLDER}))


def test_a_folder_may_choose_a_swarm_that_comes_with_the_program():
    assert wiring.make_swarm(Settings(swarm="helpdesk", origins={"swarm": FOLDER})).name == "helpdesk"


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


@pytest.mark.parametrize(
    ("origin", "approval"),
    [
        (FOLDER, {"refund": "deny", "ask_*": "ask"}),
        ("/home/ann/.config/swarmchat/config.toml", {"refund": "deny", "ask_*": "ask", "*": "auto"}),
    ],
)
def test_a_folder_makes_approval_stricter_only(origin, approval):
    rules = {"refund": "deny", "ask_*": "ask", "*": "auto"}
    settings = replace(Settings(), approve=rules, origins={"approve": origin})
    assert wiring.session_settings(settings).approve == approval


def test_a_name_of_the_program_is_not_looked_for_in_the_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "helpdesk").mkdir()
    (tmp_path / "helpdesk" / "swarm.toml").write_text('name = "mine"\n[agents.a]\nprompt = "hi"\n')
    assert wiring.make_swarm(Settings(swarm="helpdesk")).name == "helpdesk"
    assert wiring.make_swarm(Settings(swarm="./helpdesk")).name == "mine"
