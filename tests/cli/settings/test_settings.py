"""Where settings come from, which place goes first, and what is said about wrong ones."""

import getpass
import os
import re
from dataclasses import fields
from pathlib import Path

import pytest
from swarmchat.cli.errors import ConfigError
from swarmchat.cli.settings.loading import load_settings
from swarmchat.cli.settings.settings import Settings

URLS = [f"http://{name}/v1" for name in ("user", "project", "openai", "ours", "flag")]


@pytest.mark.parametrize("highest", range(len(URLS)))
def test_each_place_goes_before_the_ones_below_it(highest, write):
    def given(place: int) -> bool:
        return place <= highest

    files = [write(f"{place}.toml", f'base_url = "{URLS[place]}"' if given(place) else "") for place in (0, 1)]
    environment = {
        name: URLS[place] for place, name in ((2, "OPENAI_BASE_URL"), (3, "SWARMCHAT_BASE_URL")) if given(place)
    }
    flags = {"base_url": URLS[4] if given(4) else None}

    settings = load_settings(flags, environment, files)

    assert settings.base_url == URLS[highest]
    origins = [*map(str, files), "$OPENAI_BASE_URL", "$SWARMCHAT_BASE_URL", "--base-url"]
    assert settings.origins == {"base_url": origins[highest]}


def test_nothing_given_means_the_defaults():
    assert load_settings({"model": None}, {}, []) == Settings()


def test_places_are_joined_setting_by_setting(write, trusted):
    files = [write("user.toml", 'model = "m"\nclient = "ann"'), write("swarmchat.toml", 'client = "bob"')]
    settings = load_settings({}, {"OPENAI_API_KEY": "sk-1"}, files, consents=trusted(files[1]))
    assert (settings.model, settings.client_name, settings.api_key) == ("m", "bob", "sk-1")


def test_an_empty_variable_is_not_set_and_a_missing_file_is_no_file():
    settings = load_settings({}, {"SWARMCHAT_MODEL": "", "OPENAI_API_KEY": ""}, [Path("/nowhere/at/all.toml")])
    assert settings == Settings()


def test_variables_of_the_test_suite_are_no_settings():
    assert load_settings({}, {"SWARMCHAT_TEST_REDIS_URL": "redis://x"}, []) == Settings()


@pytest.mark.parametrize(
    ("name", "value", "read"),
    [
        ("max_context", "32_000", 32_000),
        ("max_context", " 128,000 ", 128_000),
        ("timeout", "90s", 90.0),
        ("timeout", "1.5m", 90.0),
        ("timeout", "20", 20.0),
        ("lifetime", "7d", 7 * 86400.0),
        ("lifetime", "24 H", 86400.0),
        ("lifetime", "None", None),
        ("system", "", ""),
        ("durability", "full", "full"),
        ("retries", "0", 0),
        ("max_answer", "500000", 500_000),
        ("max_answer", "20 MB", 20_000_000),
        ("max_result", "1gb", 1_000_000_000),
        ("max_input", "5KB", 5_000),
        ("max_answer_time", "2h", 7200.0),
        ("base_url", "https://host:8443/v1", "https://host:8443/v1"),
    ],
)
def test_values(name, value, read):
    environment = {f"SWARMCHAT_{name.upper()}": value}
    if value:
        assert getattr(load_settings({}, environment, []), name) == read
    assert getattr(load_settings({name: value}, {}, []), name) == read


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("max_context = 0", "max_context is 0: expected a whole number of tokens above 0"),
        ("max_context = -1", "expected a whole number"),
        ("max_context = true", "max_context is True: expected a whole number"),
        ("max_context = 1.5", "expected a whole number"),
        ('max_context = "many"', "max_context is 'many': expected a whole number"),
        ('max_context = "٣"', "expected a whole number"),
        (f"max_context = {'9' * 30}", "a number has more than 64 bits"),
        ("retries = -1", "retries is -1: expected a whole number, 0 or more"),
        ("retries = true", "expected a whole number"),
        ("max_answer = true", "expected a size from 1 kB to 1 GB"),
        ("max_answer = 999", "expected a size from 1 kB to 1 GB"),
        ("max_input = '2 GB'", "expected a size from 1 kB to 1 GB"),
        ("max_result = '1.5MB'", "expected a size from 1 kB to 1 GB"),
        (f"discover = {'[' * 101}{']' * 101}", "nested more than 100 levels deep"),
        ("timeout = 0", "timeout is 0: expected seconds above 0"),
        ('timeout = "none"', 'expected seconds above 0, "90s" or "15m"'),
        ("timeout = inf", "expected seconds"),
        ("timeout = nan", "expected seconds"),
        ("timeout = []", "expected seconds"),
        ('lifetime = "soon"', 'lifetime is \'soon\': expected seconds above 0, "90s", "15m", "24h", "7d" or "none"'),
        ('lifetime = "9999999d"', "expected seconds"),
        ('durability = "maybe"', "durability is 'maybe': expected one of normal, full"),
        ("backend = 5", "backend is 5: expected text"),
        ('model = " "', "model is ' ': expected text that is not empty"),
        ("[backend]\nurl = 'x'", "backend is {'url': 'x'}: expected text"),
        ('base_url = "ftp://x"', "base_url is 'ftp://x': expected an address such as http://localhost:11434/v1"),
        ('base_url = "localhost:8000"', "expected an address"),
        ('base_url = "http://h:port/v1"', "expected an address such as"),
        ('base_url = "http://[::1/v1"', "expected an address such as"),
        ('bakend = "disk"', "unknown setting 'bakend'; did you mean 'backend'?"),
        ("xyzzy = 1", "unknown setting 'xyzzy'; available: alive_lifetime, api_key"),
        ("this is no toml", "is not valid TOML"),
        ("a = " + "[" * 5000, "is not valid TOML"),
    ],
)
def test_problems_in_a_file_name_the_file(content, complaint, write):
    path = write("swarmchat.toml", content)
    with pytest.raises(ConfigError) as raised:
        load_settings({}, {}, [path])
    assert complaint in str(raised.value)
    assert str(raised.value).startswith(str(path))
    assert raised.value.exit_code == 78


def test_problems_in_a_variable_name_the_variable():
    with pytest.raises(ConfigError, match=r"\$SWARMCHAT_MAX_CONTEXT: max_context is 'x'"):
        load_settings({}, {"SWARMCHAT_MAX_CONTEXT": "x"}, [])


def test_an_unknown_variable_of_ours_is_an_error_with_the_nearest_name():
    with pytest.raises(ConfigError, match=r"\$SWARMCHAT_BAKCEND: unknown setting 'bakcend'; did you mean 'backend'"):
        load_settings({}, {"SWARMCHAT_BAKCEND": "redis"}, [])


@pytest.mark.parametrize("content", ["api_key = 5", "redis_url = 7", 'base_url = "ftp://me:hunter2@host"'])
def test_secrets_are_not_shown(content, write):
    with pytest.raises(ConfigError, match="is a hidden value: expected") as raised:
        load_settings({}, {}, [write("x.toml", content)])
    assert "hunter2" not in str(raised.value)


def test_a_pipe_as_settings_file_does_not_block_the_program(tmp_path):
    pipe = tmp_path / "swarmchat.toml"
    os.mkfifo(pipe)
    for path in (pipe, tmp_path):
        with pytest.raises(ConfigError, match="cannot be read: it is not a file"):
            load_settings({}, {}, [path])


def test_bytes_that_are_no_text_are_an_error(tmp_path):
    path = tmp_path / "x.toml"
    path.write_bytes(b'model = "\xff"')
    with pytest.raises(ConfigError, match="is not valid TOML"):
        load_settings({}, {}, [path])


def test_who_talks_is_the_user_of_the_system_unless_set(monkeypatch):
    assert Settings(client="ann").client_name == "ann"
    assert Settings().client_name == getpass.getuser()
    monkeypatch.setattr(getpass, "getuser", _nobody)
    assert Settings().client_name == "user"


def _nobody() -> str:
    raise KeyError("no user has this number, as in some containers")


def _forms(problem: str) -> list[str]:
    """Return the values that the message ``problem`` shows as valid."""
    expected = problem.split("expected ", 1)[1]
    if choices := re.match(r"(?:one|some) of ([\w, ]+)", expected):
        return choices[1].removesuffix(" or none").replace(", in the order in which they are tried,", "").split(", ")
    expected = re.sub(r"^tables \[\w+\.NAME\], or ", "", expected)
    forms = re.findall(r'\{.*\}|\[.*\]|"[^"]+"|https?://\S+', expected)
    return forms + [word for word in ("true", "false") if re.search(rf"\b{word}\b", expected)]


@pytest.mark.parametrize("name", [each.name for each in fields(Settings) if each.metadata and each.name != "profile"])
def test_the_environment_takes_each_form_that_a_message_shows(name):
    with pytest.raises(ConfigError) as raised:
        load_settings({name: [[]]}, {}, [])
    forms = _forms(str(raised.value))
    assert forms or re.search("expected (text|a whole number|a number)", str(raised.value))
    for form in forms:
        in_environment = load_settings({}, {f"SWARMCHAT_{name.upper()}": form}, [])
        assert in_environment.origins == {name: f"$SWARMCHAT_{name.upper()}"}
        assert getattr(in_environment, name) == getattr(load_settings({name: form}, {}, []), name)


@pytest.mark.parametrize("name", ["approve", "prices", "discover", "rescue", "lifetime", "max_context", "plain"])
def test_the_environment_takes_what_a_file_takes(name, write):
    value = {
        "approve": '{ "order_*" = "ask", "*" = "auto" }',
        "prices": '{ "gpt-4o-mini" = [0.15, 0.60] }',
        "discover": "[11434, 8080]",
        "rescue": '["repair", "flush"]',
        "lifetime": '"7d"',
        "max_context": '"32_000"',
        "plain": "true",
    }[name]
    from_file = load_settings({}, {}, [write("s.toml", f"{name} = {value}")])
    assert getattr(load_settings({}, {f"SWARMCHAT_{name.upper()}": value}, []), name) == getattr(from_file, name)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_file_may_begin_with_a_byte_order_mark(encoding, write):
    path = write("s.toml", "")
    path.write_bytes('client = "Jörg"\r\nmodel = "m"\r\n'.encode(encoding))
    assert load_settings({}, {}, [path]).client == "Jörg"
