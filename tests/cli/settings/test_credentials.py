"""What opens doors is not shown: in the last request and its answer, whoever typed it or returned it."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from model_server import failure, text
from swarmchat.cli.settings.credentials import mask_secrets, mask_url
from terminal import ENTER, at_prompt, say

SECRET = "local-hunter2-0123456789"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"my key is {SECRET}.", "my key is ***."),
        ('{"password": "a\\"b/c d"}', '{"password": "***"}'),
        ("a%22b%2Fc%20d", "***"),
        ("redis://ann:pw@h:1/0 and https://tok@h/x", "redis://***@h:1/0 and https://***@h/x"),
        ("https://h/v1?api_key=abc&n=1", "https://h/v1?api_key=***&n=1"),
        ("curl -H 'Authorization: Bearer abcdef123' u", "curl -H 'Authorization: Bearer ***' u"),
        ('{"authorization": "Basic YW5uOnB3"}', '{"authorization": "Basic ***"}'),
        ('"{\\"x-api-key\\": \\"abcdef123\\"}"', '"{\\"x-api-key\\": \\"***\\"}"'),
        ("export OPENAI_API_KEY=abcdef123 && x", "export OPENAI_API_KEY=*** && x"),
        ("sk-proj-0123456789abcdef, ghp_0123456789abcdef", "***, ***"),
        ("a bearer of news; mail ann@example.org; 10:30 @ home; a-sk-i", None),
        ("the api key is missing; token=1 in code; authorization: none", None),
    ],
)
def test_what_looks_like_a_secret_or_is_one(text, shown):
    assert mask_secrets([{"content": text}], [SECRET, 'a"b/c d']) == [{"content": shown or text}]


VALUES = st.recursive(st.none() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x))


def leaves(value: object) -> list[str]:
    """Return the names, texts and numbers in a JSON value."""
    if isinstance(value, dict):
        return [leaf for pair in value.items() for each in pair for leaf in leaves(each)]
    if isinstance(value, list):
        return [leaf for each in value for leaf in leaves(each)]
    return [value if isinstance(value, str) else json.dumps(value)]


# Without the marks by which secrets are hidden, which may make up one together with what stands beside them.
@given(VALUES, st.text(st.characters(exclude_characters="*"), min_size=6))
@example(390_625_000_000, "000000")
def test_nothing_of_a_secret_is_left_and_all_else_stays_json(document, secret):
    shown = mask_secrets({"a": document, secret: f"x{secret}{secret}y"}, [secret])
    assert [leaf for leaf in leaves(shown) if secret in leaf] == []
    assert json.loads(json.dumps(shown)) == shown


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://localhost/hunter2", "redis://localhost/***"),
        ("redis:hunter2", "redis:***"),
        ("rediss://h:1/hunter2?timeout=3", "rediss://h:1/***?timeout=3"),
        ("redis+cluster://a,b/hunter2", "redis+cluster://a,b/***"),
        ("redis://u:hunter2@h/0", "redis://***@h/0"),
        ("redis://:a/hunter2@h/0", "redis://***@h/0"),
        *[(url, url) for url in ("redis://h:1/12?timeout=3", "redis://h/", "redis://h", "redis+sentinel://h/chat/1")],
    ],
)
def test_a_password_in_the_wrong_place_of_a_url_is_not_shown(url, shown):
    assert mask_url(url) == shown


def test_a_key_that_the_user_typed_is_sent_and_not_shown(program, server):
    server.reply(text(f"You typed {SECRET}, ", "and redis://u:hunter22@h/0 is yours."))
    redis = "redis://u:another-password@127.0.0.1:1/0"
    environment = {"OPENAI_API_KEY": SECRET, "SWARMCHAT_REDIS_URL": redis}
    with program.chat("-s", "s", env=environment) as screen:
        say(screen, f"is {SECRET} a good key, and another-password a password?", "is yours.")
        start = len(screen.raw)
        say(screen, "/debug last", '"records"')
        shown = screen.raw[start:].decode()
        assert SECRET not in shown
        assert "is *** a good key, and *** a password?" in shown
        assert "You typed ***, and redis://***@h/0 is yours." in " ".join(shown.split())
    # What was said is what was said: the model got it, and the log has it.
    assert server.chats[0]["messages"][-1]["content"].startswith(f"is {SECRET} a good key")
    assert SECRET in program.messages("s")[0]


def test_an_error_that_repeats_the_key(program, server):
    server.reply(failure(401, f"Incorrect API key provided: {SECRET}"))
    with program.chat("-s", "s", env={"OPENAI_API_KEY": SECRET}) as screen:
        screen.wait_for(at_prompt)
        screen.send("hello" + ENTER)
        screen.wait_for("check the API key")
        screen.wait_for(at_prompt)
        say(screen, "/debug last", '"records"')
        assert SECRET not in screen.text
