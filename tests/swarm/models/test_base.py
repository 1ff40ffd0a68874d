from hypothesis import given
from hypothesis import strategies as st
from swarmchat.swarm.models.base import MessageDigest, ModelRequest

MESSAGES = st.lists(st.binary(max_size=8), max_size=12).map(tuple)


@given(st.lists(st.tuples(MESSAGES, st.integers(0, 12)), min_size=1, max_size=5))
def test_a_request_after_another_has_the_key_that_it_has_alone(steps: list[tuple[tuple[bytes, ...], int]]) -> None:
    previous, messages = MessageDigest(), ()
    for added, length in steps:
        # A chat grows at its end, and is cut at its start.
        messages = messages[max(0, len(messages) - length) :] + added
        request = ModelRequest("m", messages, instructions=1, previous=previous)
        assert request.key == ModelRequest("m", messages, instructions=1).key
        previous = request.conversation


@given(MESSAGES, MESSAGES)
def test_other_messages_have_another_digest(one: tuple[bytes, ...], other: tuple[bytes, ...]) -> None:
    assert (MessageDigest(one).hexdigest == MessageDigest(other).hexdigest) == (one == other)
