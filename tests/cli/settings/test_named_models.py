"""The tables [models.NAME]: a server, a key and more for one model."""

from pathlib import Path
from typing import Any

import pytest
from swarmchat.cli.errors import ConfigError
from swarmchat.cli.settings import wiring
from swarmchat.cli.settings.credentials import mask_secrets, read_key, secrets_of, shown_value
from swarmchat.cli.settings.loading import load_settings
from swarmchat.cli.settings.models import is_connected, make_endpoint, make_model
from swarmchat.cli.settings.settings import Settings
from swarmchat.swarm.models.fallback import FallbackModel
from swarmchat.swarm.models.openai_chat import OpenAIModel

TABLE = """
[models.fast]
model = "mistral-small-latest"
base_url = "https://mistral.example/v1"
api_key_env = "TEST_KEY_OF_MISTRAL"
headers = { "X-Secret" = "secret-header" }
query = { tenant = "a" }
timeout = "20s"
retries = 1
max_context = 9_000
prices = [1, 2]
adaptations = ["no-stream", "without-temperature"]

[models."local/qwen3:8b"]
max_context = 16_000
"""
MAIN = 'model = "fast"\nbase_url = "http://localhost:1/v1"\napi_key = "sk-main-secret"\nheaders = { A = "1" }\n'


def load(write: Any, content: str, **flags: Any) -> Settings:
    return load_settings(flags, {}, [write("config.toml", content)])


def test_a_table_has_all_that_belongs_to_a_model(write, monkeypatch):
    monkeypatch.setenv("TEST_KEY_OF_MISTRAL", "sk-of-mistral")
    settings = load(write, MAIN + TABLE)
    chosen = settings.for_model("fast")
    assert (chosen.model, chosen.base_url, chosen.timeout, chosen.retries) == (
        "fast",
        "https://mistral.example/v1",
        20.0,
        1,
    )
    assert read_key(chosen) == "sk-of-mistral"
    assert chosen.headers == {"X-Secret": "secret-header"}
    assert chosen.origins["base_url"].endswith("config.toml [models.fast]")
    assert chosen.for_model("fast") == chosen
    assert settings.all_prices == {"fast": (1, 2)}
    model = make_model(settings, interactive=False)
    assert isinstance(model, OpenAIModel)
    assert (model.name, model.served_as, model.context_window) == ("fast", "mistral-small-latest", 9_000)
    assert model.address == "https://mistral.example/v1"
    assert list(model.adaptations) == ["no-stream", "without-temperature"]


def test_a_server_of_its_own_gets_nothing_of_the_general_one(write):
    settings = load(write, MAIN + '[models.other]\nbase_url = "http://other.example/v1"\n')
    other = settings.for_model("other")
    assert (read_key(other), other.headers, other.query) == (None, None, None)


def test_a_table_without_a_server_keeps_the_general_one(write):
    settings = load(write, MAIN + TABLE).for_model("local/qwen3:8b")
    assert (settings.base_url, read_key(settings)) == ("http://localhost:1/v1", "sk-main-secret")
    assert settings.max_context == 16_000


def test_an_option_overrides_the_table_of_its_model_alone(write):
    settings = load(write, MAIN + TABLE, base_url="http://here:1/v1")
    assert settings.for_model("fast").base_url == "http://here:1/v1"
    assert load(write, TABLE, base_url="http://here:1/v1", model="x").for_model("fast").base_url != "http://here:1/v1"


def test_a_window_in_a_table_is_that_of_its_model_alone(write, monkeypatch):
    monkeypatch.setenv("TEST_KEY_OF_MISTRAL", "sk-of-mistral")
    for flags, window in (({}, 9_000), ({"max_context": 5_000}, 5_000)):
        settings = load(write, "max_context = 7_000\n" + MAIN + TABLE, **flags)
        assert make_model(settings, interactive=False).context_window == window
        assert wiring.session_settings(settings).context_window is None
    settings = load(write, "max_context = 7_000\n" + MAIN + TABLE, model="other")
    assert wiring.session_settings(settings).context_window == 7_000


def test_a_profile_may_have_tables(write):
    settings = load(
        write, '[profiles.p.models.fast]\nbase_url = "http://other.example/v1"\n', profile="p", model="fast"
    )
    assert is_connected(settings)
    assert not is_connected(load(write, "", model="fast"))


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("models = 3", r"expected tables \[models.NAME\]"),
        ("[models.demo]", "a name .* that is not demo"),
        ('[models."a b"]', "expected a name of up to 100 letters"),
        ("[models]\nfast = 3", r"fast is not a table: write \[models.fast\]"),
        ("[models.fast]\nbase_ulr = 3", "fast has no setting 'base_ulr'; did you mean 'base_url'"),
        ("[models.fast]\nmax_context = 0", "max_context of fast: expected a whole number of tokens"),
        ("[models.fast]\nprices = [1]", "prices of fast: expected prices"),
        ('[models.fast]\nadaptations = ["nix"]', "adaptations of fast: expected names of adaptations"),
        ('[models.fast]\nheaders = { A = "a\\nb" }', "headers of fast: expected a table of texts"),
        ('[models.fast]\napi_key = "sk-very-secret"\napi_key_env = "B"', "sets api_key and api_key_env: expected one"),
        ("fallback = [3]", "expected names"),
    ],
)
def test_problems_are_reported(write, line, complaint):
    with pytest.raises(ConfigError, match=complaint) as raised:
        load(write, line)
    assert "sk-very-secret" not in str(raised.value)


@pytest.mark.parametrize(
    "line", ["[models.a]\nmax_context = 1", 'headers = { A = "b" }', 'query = { a = "b" }', 'api_key_env = "HOME"']
)
def test_a_folder_chooses_neither_servers_nor_headers(write, line):
    with pytest.raises(ConfigError, match="the settings of a folder must not do that"):
        load_settings({}, {}, [write("swarmchat.toml", line)])


@pytest.mark.parametrize(
    ("own", "secret"),
    [
        ('headers = { Authorization = "Token x" }', "headers"),
        ('query = { key = "x" }', "query"),
        ('[models.m]\napi_key = "sk-mine"', "key"),
    ],
)
def test_a_folder_does_not_choose_who_gets_what_is_secret(write, own, secret, trusted):
    folder = write("swarmchat.toml", 'model = "m"\nbase_url = "http://evil.example/v1"\n')
    settings = load_settings({}, {}, [write("config.toml", own), folder], consents=trusted(folder))
    with pytest.raises(ConfigError, match=f"must not choose who gets your {secret}"):
        make_model(settings, interactive=False)


def test_secrets_of_tables_are_masked(write, monkeypatch):
    monkeypatch.setenv("TEST_KEY_OF_MISTRAL", "of-mistral-1")
    settings = load(write, TABLE + '[models.b]\napi_key = "key-of-b-1"\n')
    shown = str([shown_value(name, getattr(settings, name)) for name in ("models", "headers")])
    assert "secret-header" not in shown
    assert "key-of-b-1" not in shown
    assert mask_secrets("of-mistral-1 key-of-b-1 secret-header", secrets_of(settings)) == "*** *** ***"


def test_a_variable_for_the_key_must_be_set(write, monkeypatch):
    monkeypatch.delenv("TEST_KEY_OF_MISTRAL", raising=False)
    with pytest.raises(ConfigError, match=r"\[models.fast\]: api_key_env names TEST_KEY_OF_MISTRAL, which is not set"):
        make_model(load(write, MAIN + TABLE), interactive=False)


def test_the_key_of_the_strongest_source_is_used(write, monkeypatch):
    monkeypatch.setenv("TEST_KEY", "from-variable")
    settings = load_settings({}, {"SWARMCHAT_API_KEY_ENV": "TEST_KEY"}, [write("config.toml", 'api_key = "a"')])
    assert read_key(settings) == "from-variable"


def test_fallbacks_are_models_like_others(write, monkeypatch, tmp_path: Path):
    monkeypatch.setenv("TEST_KEY_OF_MISTRAL", "sk-of-mistral")
    content = 'model = "a"\nbase_url = "http://localhost:1/v1"\nfallback = ["fast", "a", "demo"]\n'
    model = make_model(load(write, content + TABLE), interactive=False)
    assert isinstance(model, FallbackModel)
    (other,) = model.others
    assert isinstance(other, OpenAIModel)
    assert (other.served_as, other.address) == ("mistral-small-latest", "https://mistral.example/v1")
    assert not isinstance(make_endpoint(load(write, content + TABLE)), FallbackModel)
