"""From settings to a backend and a model."""

from pathlib import Path

import pytest
from swarmchat.backends import UnknownBackend
from swarmchat.cli.errors import ConfigError
from swarmchat.cli.settings import wiring
from swarmchat.cli.settings.folder import Consents
from swarmchat.cli.settings.loading import load_settings, read_file
from swarmchat.cli.settings.models import OPENAI_DEFAULT, make_model
from swarmchat.cli.settings.settings import Settings
from swarmchat.cli.terminal.themes import theme_in_use, use_theme
from swarmchat.swarm.models.demo import DemoModel
from swarmchat.swarm.models.openai_chat import OpenAIModel


@pytest.mark.parametrize(
    ("settings", "url"),
    [
        (Settings(backend="memory"), "memory:"),
        (Settings(data_dir="/data"), "disk:/data/sessions"),
        (Settings(data_dir="/data", durability="full"), "disk:/data/sessions?durability=full"),
        (Settings(backend="disk:/other"), "disk:/other"),
        (Settings(backend="redis"), "redis://localhost:6379/0"),
        (Settings(backend="redis", redis_url="rediss://:pw@host/1"), "rediss://:***@host/1"),
        (Settings(backend="unix:///run/redis.sock"), "unix:///run/redis.sock"),
    ],
)
def test_backends(settings, url):
    assert wiring.make_backend(settings).url == url


def test_the_data_folder_is_in_the_home_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    assert wiring.data_dir(Settings(data_dir="~/x")) == tmp_path / "x"
    assert wiring.data_dir(Settings()).is_relative_to(tmp_path)


def test_folders_that_cannot_be():
    with pytest.raises(ConfigError, match=r"'/a\?b': a data folder cannot have a \? in its name"):
        wiring.make_backend(Settings(data_dir="/a?b"))
    with pytest.raises(ConfigError, match="no home folder found: set HOME, or name a folder with --data-dir"):
        wiring.data_dir(Settings(data_dir="~no-such-user-here/x"))


def test_an_unknown_backend_is_an_error():
    with pytest.raises(UnknownBackend, match="did you mean disk:"):
        wiring.make_backend(Settings(backend="disc"))


@pytest.mark.parametrize(
    ("settings", "kind", "name"),
    [
        (Settings(), DemoModel, "demo"),
        (Settings(model="demo", api_key="sk-1"), DemoModel, "demo"),
        (Settings(api_key="sk-1"), OpenAIModel, OPENAI_DEFAULT),
        (Settings(model="m"), OpenAIModel, "m"),
        (Settings(model="m", base_url="http://localhost:1/v1"), OpenAIModel, "m"),
    ],
)
def test_models(settings, kind, name):
    model = make_model(settings, interactive=False)
    assert (type(model), model.name) == (kind, name)


def test_a_server_needs_the_name_of_a_model():
    with pytest.raises(ConfigError, match="which model of http://localhost:1/v1"):
        make_model(Settings(base_url="http://localhost:1/v1"), interactive=False)


def in_folder(write, content: str, environment: dict[str, str], flags: dict[str, str] | None = None) -> Settings:
    path = write("swarmchat.toml", content)
    consents = Consents(path.with_name("trusted.json"))
    consents.give(path, read_file(path))
    return load_settings({"model": "m", **(flags or {})}, environment, [path], consents=consents)


def test_a_folder_does_not_choose_who_gets_the_users_key(write):
    environment = {"OPENAI_API_KEY": "sk-secret"}
    address = 'base_url = "http://evil.example/v1"'
    with pytest.raises(ConfigError, match="a folder must not choose who gets your key") as raised:
        make_model(in_folder(write, address, environment), interactive=False)
    assert "sk-secret" not in str(raised.value)

    trusted = in_folder(write, address, environment, {"base_url": "http://evil.example/v1"})
    assert make_model(trusted, interactive=False).name == "m"
    both = in_folder(write, address + '\napi_key = "sk-of-the-folder"', {})
    assert make_model(both, interactive=False).name == "m"
    without = in_folder(write, address, {})
    assert make_model(without, interactive=False).name == "m"


def test_settings_of_the_folder_are_reported(write):
    settings = in_folder(write, 'backend = "memory"\nsystem = "x"', {})
    assert wiring.project_settings(settings) == ["./swarmchat.toml sets backend, system"]
    assert wiring.project_settings(Settings()) == []


@pytest.mark.parametrize(
    ("settings", "lifetime"),
    [
        (Settings(), None),
        (Settings(backend="memory"), None),
        (Settings(backend="redis"), 86400.0),
        (Settings(backend="rediss://host"), 86400.0),
        (Settings(backend="unix:///s"), 86400.0),
        (Settings(backend="redis", lifetime=None), None),
        (Settings(lifetime=60.0), 60.0),
    ],
)
def test_sessions_on_redis_last_a_day_and_others_for_ever_unless_set(settings, lifetime):
    assert wiring.session_settings(settings).lifetimes.session == lifetime


@pytest.mark.parametrize(("system", "prompt"), [(None, wiring.DEFAULT_PROMPT), ("Be brief.", "Be brief."), ("", "")])
def test_the_system_message_can_be_replaced_and_left_out(system, prompt):
    swarm = wiring.make_swarm(Settings(system=system))
    assert swarm.agent(swarm.default).prompt == prompt


def test_prompts_are_stored_next_to_the_sessions_where_possible():
    assert wiring.prompts_file(Settings(data_dir="/data")) == Path("/data/prompts")
    assert wiring.prompts_file(Settings(backend="memory", data_dir="/data")) is None
    assert wiring.prompts_file(Settings(backend="redis", data_dir="~no-such-user-here")) is None


def test_only_applied_settings_change_the_theme():
    before = theme_in_use()
    try:
        use_theme("mono")
        assert wiring.read_settings({"theme": "light"}).theme == "light"
        assert theme_in_use() == "mono"
        wiring.apply_settings({"theme": "light"})
        assert theme_in_use() == "light"
    finally:
        use_theme(before)
