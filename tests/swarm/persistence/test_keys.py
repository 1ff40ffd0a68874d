"""No name reaches another key."""

import re

from hypothesis import assume, given
from hypothesis import strategies as st
from swarmchat.swarm.persistence import keys

HOSTILE = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        [
            "",
            ":",
            "*",
            "{",
            "}",
            "{}",
            "..",
            "../..",
            "/",
            "\\",
            "\0",
            "a:b",
            "a%3Ab",
            "%",
            "~",
            "🦦" * 1000,
            "x" * 4096,
            "x" * 4097,
        ]
    ),
    st.lists(st.sampled_from(["a", "1", ":", "{a}", "session", "log", "%", "/"]), max_size=5).map("".join),
    st.text(alphabet=st.characters(codec=None), max_size=4),
)
BUILDERS = (keys.session_log, keys.session_lease, keys.session_index)


@given(HOSTILE, HOSTILE, HOSTILE, HOSTILE)
def test_different_names_have_different_keys(client, session, other_client, other_session):
    assume((client, session) != (other_client, other_session))
    ours = {build(client, session) for build in BUILDERS}
    theirs = {build(other_client, other_session) for build in BUILDERS}
    assert len(ours) == len(BUILDERS)
    assert not ours & theirs


@given(HOSTILE, HOSTILE)
def test_keys_are_short_plain_text_in_the_slot_of_the_client(client, session):
    tag = keys.escape(client)
    for build in BUILDERS:
        key = build(client, session)
        assert re.fullmatch(r"swarmchat:1:\{[\w.@+%~-]+\}:[\w.@+%~:-]+", key, re.ASCII)
        assert len(key) < 500
        # Redis hashes what stands between the first { and the next }.
        assert key[key.index("{") + 1 : key.index("}")] == tag


@given(HOSTILE, HOSTILE, HOSTILE)
def test_the_sessions_of_one_client_are_not_those_of_another(client, other, session):
    assume(client != other)
    assert not keys.session_index(other, session).startswith(keys.sessions(client))
    assert keys.session_index(client, session).startswith(keys.sessions(client))


def test_plain_names_stay_readable():
    assert keys.session_log("ann", "brave-otter") == "swarmchat:1:{ann}:session:brave-otter:log"
