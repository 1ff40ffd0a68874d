"""The names by which servers know tools."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from swarmchat.swarm import Agent, tool
from swarmchat.swarm.common.names import portable_name
from swarmchat.swarm.errors import DefinitionError

LONG = "mcp__the_server_of_the_house__look_for_everything_that_was_ever_said_about"


@pytest.mark.parametrize(
    ("name", "portable"),
    [
        ("get-weather", "get-weather"),
        ("files/read file", "files_read_file"),
        ("mcp.files::read", "mcp_files_read"),
        ("21st_magic", "t_21st_magic"),
        ("_hidden", "t_hidden"),
    ],
)
def test_what_servers_do_not_take_is_replaced(name: str, portable: str):
    assert portable_name(name) == portable


@given(st.text(max_size=100))
def test_every_name_becomes_one_that_all_servers_take(name: str):
    portable = portable_name(name)
    assert re.fullmatch("[a-zA-Z][a-zA-Z0-9_-]{0,63}", portable)
    assert portable_name(portable) == portable


def test_long_and_foreign_names_stay_different():
    names = [f"{LONG}_tea", f"{LONG}_milk", "查询天气", "查询时间"]
    assert len({portable_name(name) for name in names}) == 4


def test_two_tools_of_one_agent_cannot_share_a_portable_name():
    tools = [tool(name=name)(test_two_tools_of_one_agent_cannot_share_a_portable_name) for name in ("a.b", "a/b")]
    with pytest.raises(DefinitionError, match=r"'a_b', which is what models call 'a\.b' and 'a/b'"):
        Agent("desk", tools=tools)
