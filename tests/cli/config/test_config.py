"""``swarmchat config``, profiles, and the command for the key."""

import json
import os
import re
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
from model_server import text
from swarmchat.cli.config.edit import template
from swarmchat.cli.errors import ConfigError
from swarmchat.cli.main import app
from swarmchat.cli.settings.loading import load_settings
from swarmchat.cli.settings.settings import Settings
from typer.main import get_command

NAMES = [name for name, each in Settings.__dataclass_fields__.items() if each.metadata]
SECRET = "hunter2-0123456789"


@pytest.fixture
def own(program):
    """The user's own file."""
    return program.home / ".config/swarmchat/config.toml"


@pytest.fixture
def configure(own):
    def configure(content: str) -> None:
        own.parent.mkdir(parents=True, exist_ok=True)
        own.write_text(content, "utf-8")

    return configure


# show, path, init


def test_show_lists_every_setting_and_its_origin(program, own, configure):
    configure('backend = "memory"\nprofile = "p"\n[profiles.p]\nmodel = "m"\n')
    shown = program.invoke("config", "show", "--origin", env={"SWARMCHAT_RETRIES": "2"})
    assert (shown.err, shown.code) == ("", 0)
    rows = dict(re.fullmatch(r"(\w+ = .*?) +# (.*)", line).groups() for line in shown.out.splitlines())
    assert [row.split(" = ")[0] for row in rows] == NAMES
    assert rows['backend = "memory"'] == str(own)
    assert rows['model = "m"'] == f"{own} [profiles.p]"
    assert rows["retries = 2"] == "$SWARMCHAT_RETRIES"
    assert rows["timeout = 600"] == "default"
    assert rows['memory_lifetime = "none"'] == "default"
    settings = json.loads(program.invoke("config", "show", "--json").out)
    assert settings["model"] == {"value": "m", "origin": f"{own} [profiles.p]"}


def test_no_secret_is_shown(program):
    url = f"://ann:{SECRET}@h"
    hidden = {
        "api_key": SECRET,
        "base_url": f"http{url}/v1?api_key={SECRET}",
        "redis_url": f"redis{url}?password={SECRET}",
        "backend": f"redis{url}:1/0",
    }
    environment = {f"SWARMCHAT_{name.upper()}": value for name, value in hidden.items()}
    for arguments in (("--origin",), ("--json",)):
        done = program.invoke("config", "show", *arguments, env=environment)
        assert done.code == 0
        assert SECRET not in done.out
        assert "http://***@h/v1?api_key=***" in done.out
        assert "redis://***@h:1/0" in done.out
    done = program.invoke("config", "show", env={"SWARMCHAT_API_KEY_COMMAND": f"echo {SECRET}"})
    assert 'api_key_command = "echo ***"' in done.out


def test_path(program, own):
    done = program.invoke("config", "path")
    assert done.out == f"{own}\n{program.folder}/swarmchat.toml\n"
    assert json.loads(program.invoke("config", "path", "--json").out)[0] == {"path": str(own), "exists": False}


def test_init_writes_every_setting_as_a_comment_and_never_overwrites(program, own):
    done = program.invoke("config", "init")
    assert (done.out, done.err, done.code) == (f"{own}\n", "", 0)
    assert own.stat().st_mode & 0o777 == 0o600
    assert tomllib.loads(own.read_text("utf-8")) == {}
    own.write_text("model = 'mine'\n", "utf-8")
    again = program.invoke("config", "init")
    assert again.code == 78
    assert "already exists" in again.err
    assert own.read_text("utf-8") == "model = 'mine'\n"


def test_what_init_writes_is_right(write):
    lines = re.findall(r"^# (\w+ = .*)$", template().partition("# Models with")[0], re.MULTILINE)
    # The tables [models.NAME] come last.
    assert [line.split(" = ")[0] for line in lines] == [name for name in NAMES if name not in ("models", "mcp")]
    for line in lines:
        name = line.split(" = ")[0]
        # Two of the examples stand for each other, and one names a profile.
        content = line + ("\n[profiles.local]\n" if name == "profile" else "\n")
        settings = load_settings({}, {}, [write("own.toml", content)])
        if "# an example" not in line:
            assert getattr(settings, name) == getattr(Settings(), name), line
    tables = re.sub(r"(?m)^# (\[|\w+ =)", r"\1", template().partition("# Models with")[2].partition("\n")[2])
    assert tomllib.loads(tables)["profiles"].keys() == {"local"}
    assert load_settings({}, {}, [write("own.toml", tables)]).models["fast"]["max_context"] == 32_000


# set


def test_set_keeps_comments_and_the_rest(program, own, configure):
    del program.env["SWARMCHAT_DISCOVER"]
    configure('# mine\nmodel = "a"  # why\n\n[profiles.local]\n# here\nmodel = "b"\n')
    for arguments in (
        ("model", "c"),
        ("max_context", "16_384"),
        ("rescue", '["repair"]'),
        ("discover", "false"),
        ("placeholder", "it's late: 5 = 5"),
        ("model", "d", "--profile", "local"),
        ("model", "e", "--profile", "new"),
    ):
        done = program.invoke("config", "set", *arguments)
        assert (done.err, done.code) == ("", 0)
    written = own.read_text("utf-8")
    assert written.startswith('# mine\nmodel = "c"  # why\n')
    assert "[profiles.local]\n# here\n" in written
    assert tomllib.loads(written) == {
        "model": "c",
        "max_context": 16384,
        "rescue": ["repair"],
        "discover": False,
        "placeholder": "it's late: 5 = 5",
        "profiles": {"local": {"model": "d"}, "new": {"model": "e"}},
    }
    assert program.invoke("config", "set", "--unset", "model").code == 0
    assert "model" not in tomllib.loads(own.read_text("utf-8"))
    assert own.stat().st_mode & 0o777 == 0o600


def test_set_fills_in_what_init_has_written(program, own):
    program.invoke("config", "init")
    before = own.read_text("utf-8")
    assert program.invoke("config", "set", "retries", "7").code == 0
    assert own.read_text("utf-8") == before.replace("# retries = 4", "retries = 7")


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        (("retires", "3"), 78, "unknown setting 'retires'; did you mean 'retries'?"),
        (("retries", "-3"), 78, "expected a whole number, 0 or more"),
        (("retries",), 2, "give a VALUE, or --unset"),
        (("--unset", "retries"), 78, "does not set retries"),
        (("profile", "a", "--profile", "b"), 2, "cannot choose another"),
        (("model", "a", "--profile", "a/b"), 78, "no profile can be called 'a/b'"),
    ],
)
def test_set_refuses_invalid_values(arguments, code, complaint, program, own, configure):
    configure("model = 'a'\n")
    words = ["--", *arguments] if arguments[1:2] == ("-3",) else arguments
    done = program.invoke("config", "set", *words)
    assert done.code == code
    assert complaint in done.err
    assert own.read_text("utf-8") == "model = 'a'\n"


def test_set_leaves_a_broken_file_alone(program, own, configure):
    configure("model = \n")
    done = program.invoke("config", "set", "model", "a")
    assert (done.code, own.read_text("utf-8")) == (78, "model = \n")
    assert "is not valid TOML and was not changed" in done.err


def test_set_takes_a_key_from_standard_input_and_follows_a_link(program, own, tmp_path):
    own.parent.mkdir(parents=True)
    own.symlink_to(tmp_path / "dotfiles.toml")
    done = program.invoke("config", "set", "api_key", "-", piped=f"{SECRET}\n")
    assert done.code == 0
    assert SECRET not in done.out + done.err
    assert tomllib.loads((tmp_path / "dotfiles.toml").read_text("utf-8")) == {"api_key": SECRET}
    assert own.is_symlink()


def test_set_says_what_goes_before_it(program):
    done = program.invoke("config", "set", "client", "bob")
    assert done.err == "note: $SWARMCHAT_CLIENT overrides it\n"


# Profiles


@pytest.mark.parametrize("highest", range(6))
def test_a_profile_goes_between_files_and_environment(highest, write, trusted):
    own = 'model = "0"\n' + ('[profiles.p]\nmodel = "2"\n' if highest >= 2 else "[profiles.p]\n")
    folder = ('model = "1"\n' if highest >= 1 else "") + ('[profiles.p]\nmodel = "3"\n' if highest >= 3 else "")
    files = [write("config.toml", own), write("swarmchat.toml", folder)]
    environment = {"SWARMCHAT_PROFILE": "p"} | ({"SWARMCHAT_MODEL": "4"} if highest >= 4 else {})
    flags = {"model": "5" if highest == 5 else None}
    settings = load_settings(flags, environment, files, consents=trusted(files[1]))
    assert settings.model == str(highest)
    places = [str(files[0]), str(files[1]), f"{files[0]} [profiles.p]", f"{files[1]} [profiles.p]"]
    assert settings.origins["model"] == [*places, "$SWARMCHAT_MODEL", "--model"][highest]


def test_each_command_that_reads_settings_takes_a_profile(program, configure):
    def without(command: Any, path: str) -> Iterator[str]:
        for name, inner in getattr(command, "commands", {}).items():
            yield from without(inner, f"{path} {name}".strip())
        if not getattr(command, "commands", None) and all(param.name != "profile" for param in command.params):
            yield path

    assert set(without(get_command(app), "")) == {
        "init",
        "completion",
        "config path",
        "config init",
        "mcp add",
        "mcp remove",
        "trust",
    }
    configure('[profiles.bob]\nclient = "bob"\nswarm = "helpdesk"\n')
    del program.env["SWARMCHAT_CLIENT"]
    program.invoke("--profile", "bob", "-s", "bobs", "my name is Bob")
    for words, shown in (
        ("sessions list", "bobs"),
        ("sessions show bobs", "my name is Bob"),
        ("sessions export bobs", "my name is Bob"),
        ("sessions delete bobs --yes --json", "bobs"),
        ("memory", "name: Bob"),
        ("agents list", "triage"),
        ("tools list", "find_fact"),
        ("bans list --json", "[]"),
    ):
        done = program.invoke(*words.split(), "--profile", "bob")
        assert (shown in done.out, done.err, done.code) == (True, "", 0)
    (program.folder / "x.jsonl").touch()
    error = "error: --profile: unknown profile 'bo'; did you mean 'bob'?\n"
    for words in (
        "online",
        "state",
        "storage x",
        "tools call x",
        "replay x.jsonl",
        "agents show x",
        "sessions prune --empty",
    ):
        done = program.invoke(*words.split(), "--profile", "bo")
        assert (done.out, done.err, done.code) == ("", error, 78)


def test_the_profile_of_the_highest_place_is_chosen(write):
    path = write("config.toml", 'profile = "a"\n[profiles.a]\nmodel = "a"\n[profiles.b]\nmodel = "b"\n[profiles.c]\n')
    assert load_settings({}, {}, [path]).model == "a"
    assert load_settings({}, {"SWARMCHAT_PROFILE": "b"}, [path]).model == "b"
    assert load_settings({"profile": "c"}, {"SWARMCHAT_PROFILE": "b"}, [path]).model is None


@pytest.mark.parametrize(
    ("content", "profile", "complaint"),
    [
        ("[profiles.local]", "locl", "--profile: unknown profile 'locl'; did you mean 'local'?"),
        ("[profiles.local]", "xyz", "unknown profile 'xyz'; available: local"),
        ("", "xyz", r"unknown profile 'xyz'; write it as [profiles.NAME]"),
        ("profiles = 5", None, "profiles is not a table: write [profiles.NAME]"),
        ("[profiles]\nlocal = 5", None, "profiles.local is not a table"),
        ('[profiles."a b"]', None, "no profile can be called 'a b'"),
        ('[profiles.a]\nprofile = "b"', None, "the profile a sets profile: a profile cannot choose another"),
        ("[profiles.a]\nretries = -1", "a", "[profiles.a]: retries is -1: expected a whole number"),
        ("[profiles.a]\nretires = 1", "a", "[profiles.a]: unknown setting 'retires'; did you mean 'retries'?"),
        ("profile = 5", None, "unknown profile '5'"),
    ],
)
def test_a_wrong_profile_is_an_error(content, profile, complaint, write):
    with pytest.raises(ConfigError) as raised:
        load_settings({"profile": profile}, {}, [write("config.toml", content)])
    assert complaint in str(raised.value)


def test_what_is_wrong_in_a_profile_that_is_not_chosen_harms_nobody(write):
    assert load_settings({}, {}, [write("config.toml", "[profiles.a]\nretires = 1")]) == Settings()


def test_a_chat_with_a_profile_says_how_to_resume_with_it(program, configure):
    configure('[profiles.away]\nclient = "bob"\nsystem = "Be brief."\n')
    with program.chat("--profile", "away", "-s", "s") as screen:
        screen.wait_for("you ❯")
        screen.send("hello\r")
        screen.wait_for("Hello!")
        screen.send("/exit\r")
        screen.wait_for("resume with: swarmchat --profile away --client ann -s s")


@pytest.mark.parametrize("of_folder", ["[profiles.p]\n", ""])
def test_a_profile_of_the_folder_may_no_more_than_the_folder(of_folder, program, configure):
    configure("[profiles.p]\n")
    (program.folder / "swarmchat.toml").write_text(f'{of_folder}base_url = "http://evil.example/v1"', "utf-8")
    program.invoke("trust", "--yes")
    environment = {"OPENAI_API_KEY": SECRET, "SWARMCHAT_MODEL": "m"}
    done = program.invoke("chat", "--profile", "p", "hi", env=environment)
    assert done.code == 78
    assert "If you trust it" in done.err
    assert SECRET not in done.err


# The command for the key


def test_a_command_prints_the_key(program, server, configure):
    configure(f"api_key_command = \"sh -c 'echo; echo {SECRET}; echo x >> ran'\"\n")
    server.reply(text("yes"))
    done = program.run("hi!")
    assert (done.out, done.code) == ("yes\n", 0)
    assert server.requests[-1].headers["authorization"] == f"Bearer {SECRET}"
    assert (program.folder / "ran").read_text() == "x\n"


@pytest.mark.parametrize(
    ("command", "complaint"),
    [
        (f"sh -c 'echo {SECRET}; echo {SECRET} >&2; exit 3'", "ended with exit code 3"),
        ("true", "printed nothing"),
        (f"/nowhere/{SECRET}", "cannot be run (No such file or directory)"),
        (f"echo '{SECRET}", "cannot be run (No closing quotation)"),
    ],
)
def test_errors_of_the_command_are_reported_without_it(command, complaint, program, server):
    done = program.invoke("hi!", env={"SWARMCHAT_API_KEY_COMMAND": command})
    assert done.code == 78
    assert complaint in done.err
    assert SECRET not in done.err
    assert server.chats == []


def test_commands_that_need_no_model_do_not_run_it(program):
    done = program.invoke("sessions", "list", env={"SWARMCHAT_API_KEY_COMMAND": f"touch {program.folder}/ran"})
    assert done.code == 0
    assert not (program.folder / "ran").exists()


@pytest.mark.parametrize("content", ['api_key_command = "touch ran"', '[profiles.p]\napi_key_command = "touch ran"'])
def test_the_folder_may_not_name_a_command(content, program):
    (program.folder / "swarmchat.toml").write_text(content, "utf-8")
    done = program.invoke("hi!", env={"SWARMCHAT_PROFILE": "p"} if "profiles" in content else {})
    assert done.code == 78
    assert "the settings of a folder must not do that" in done.err
    assert not (program.folder / "ran").exists()


def test_the_key_and_the_command_stand_for_each_other(write):
    file = write("config.toml", f'api_key = "{SECRET}"\n[profiles.p]\napi_key_command = "pass"\n')
    chosen = load_settings({"profile": "p"}, {}, [file])
    assert (chosen.api_key, chosen.api_key_command) == (None, "pass")
    above = load_settings({"profile": "p"}, {"OPENAI_API_KEY": "sk-1"}, [file])
    assert (above.api_key, above.api_key_command) == ("sk-1", None)
    assert above.origins["api_key"] == "$OPENAI_API_KEY"
    assert "api_key_command" not in above.origins


def test_a_command_of_the_users_does_not_feed_the_folders_server(program):
    (program.folder / "swarmchat.toml").write_text('base_url = "http://evil.example/v1"\nmodel = "m"\n', "utf-8")
    program.invoke("trust", "--yes")
    mark = program.folder / "ran"
    done = program.invoke("hi!", env={"SWARMCHAT_API_KEY_COMMAND": f"touch {mark}"})
    assert done.code == 78
    assert "the key comes from $SWARMCHAT_API_KEY_COMMAND" in done.err
    assert not os.path.exists(mark)
