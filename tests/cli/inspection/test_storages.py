"""``swarmchat storage``: what two swarms have, and how items are listed, reloaded, cleared and imported."""

import json
from pathlib import Path

import pytest
from terminal import CTRL_D, at_prompt

SHOP = ("-S", "shop")
SWARM = """name = "{name}"

[agents.clerk]
prompt = "Be brief."

[storages.breads]
index = "name"
items = [{items}]

[states.count]
default = 0
"""
RYE, BUN = '{name = "rye", price = 3}', '{name = "raisin bun", price = 1.5}'


def define(program, *items: str, name: str = "shop", folder: str = "shop") -> None:
    place = Path(program.folder, folder)
    place.mkdir(exist_ok=True)
    Path(place, "swarm.toml").write_text(SWARM.format(name=name, items=", ".join(items)))


@pytest.fixture
def shop(program):
    """The program in a folder with the swarm ``shop``, whose storage was used."""
    define(program, RYE, BUN)
    assert names(program) == ["rye", "raisin bun"]
    return program


def run(program, *arguments: str, code: int = 0):
    done = program.invoke("storage", *arguments)
    assert done.code == code, done.err
    return done


def items(program, *swarm: str) -> dict[str, dict[str, object]]:
    return json.loads(run(program, "breads", *(swarm or SHOP), "--json").out)


def names(program, *swarm: str) -> list[object]:
    return [item["name"] for item in items(program, *swarm).values()]


def write(program, name: str, text: str | bytes) -> str:
    Path(program.folder, name).write_bytes(text.encode() if isinstance(text, str) else text)
    return name


def test_a_changed_swarm_file_is_followed_and_said(shop):
    define(shop, '{name = "rye", price = 4}', '{name = "pretzel", price = 1}')
    done = run(shop, "breads", *SHOP)
    assert "items follow the swarm's definition: 1 added, 1 changed, 1 removed" in done.err
    assert [item["price"] for item in items(shop).values()] == [4, 1]
    assert run(shop, "breads", *SHOP).err == ""


def test_items_that_do_not_fit_a_changed_index_are_told_and_break_no_search(shop):
    run(shop, "import", write(shop, "a.csv", CSV), *SHOP)
    define(shop, '{name = "rye", price = 3, about = "dark and sour"}')
    file = Path(shop.folder, "shop", "swarm.toml")
    file.write_text(file.read_text().replace('index = "name"', 'index = "about"'))
    done = run(shop, "breads", *SHOP, "--search", "dark and sour")
    assert "2 items have no text for the index" in done.err
    assert "rye" in done.out
    assert "brioche" not in done.out
    assert len(names(shop)) == 3


def test_a_chat_says_at_its_start_that_the_definition_has_changed(shop):
    define(shop, '{name = "rye", price = 4}', BUN)
    with shop.chat("-m", "demo", *SHOP) as screen:
        screen.wait_for(at_prompt)
        screen.wait_for("items follow the swarm's definition: 1 changed")
        screen.send(CTRL_D)
        assert screen.wait_for_end() == 0


def test_two_swarms_have_storages_states_and_memory_of_their_own(shop):
    define(shop, RYE, name="cafe", folder="cafe")
    assert names(shop, "-S", "cafe") == ["rye"]
    assert run(shop, "list").out == "breads  of cafe, 1 item\nbreads  of shop, 2 items\n"
    assert "several swarms have a storage 'breads': cafe, shop" in run(shop, "breads", code=2).err
    shop.invoke("memory", *SHOP, "name", "--set", "Ann")
    assert shop.invoke("memory", "-S", "cafe").out == ""
    assert "swarms with a memory of ann: shop" in shop.invoke("memory").err
    assert shop.invoke("memory", *SHOP).out == "name: Ann\n"


def test_swarms_share_what_is_declared_shared(shop):
    define(shop, name="cafe", folder="cafe")
    file = Path(shop.folder, "cafe", "swarm.toml")
    file.write_text(f'namespace = "shop"\n{file.read_text()}')
    shop.invoke("memory", *SHOP, "name", "--set", "Ann")
    assert shop.invoke("memory", "-S", "cafe").out == "name: Ann\n"


CSV = "name,price\r\nbrioche,2\r\nstollen,7.5\r\n"
FILES = {
    "a.csv": CSV,
    "bom.csv": b"\xef\xbb\xbf" + CSV.encode(),
    "semicolons.csv": CSV.replace(",", ";"),
    "a.tsv": CSV.replace(",", "\t"),
    "a.json": '[{"name": "brioche", "price": 2}, {"name": "stollen", "price": 7.5}]',
    "a.jsonl": '{"name": "brioche", "price": 2}\n\n{"name": "stollen", "price": 7.5}\n',
    "utf16.json": '[{"name": "brioche", "price": 2}, {"name": "stollen", "price": 7.5}]'.encode("utf-16"),
}


@pytest.mark.parametrize("name", FILES)
def test_items_are_imported_once(name, shop):
    file = write(shop, name, FILES[name])
    assert run(shop, "import", file, *SHOP, "--dry-run").out == "breads: would add 2, replace 0; already there: 0\n"
    assert len(names(shop)) == 2
    assert run(shop, "import", file, *SHOP).out == "breads: 2 added, 0 replaced; already there: 0\n"
    assert run(shop, "import", file, "breads", *SHOP).out == "breads: 0 added, 0 replaced; already there: 2\n"
    added = [*items(shop).values()][2:]
    assert added == [{"name": "brioche", "price": 2}, {"name": "stollen", "price": 7.5}]


def test_lines_of_text_are_the_field_of_the_index(shop):
    run(shop, "import", write(shop, "breads.txt", "brioche\n\n stollen \n"), *SHOP)
    assert [*items(shop).values()][2:] == [{"name": "brioche"}, {"name": "stollen"}]
    run(shop, "import", write(shop, "list.json", '["focaccia"]'), *SHOP)
    assert [*items(shop).values()][4:] == [{"name": "focaccia"}]
    small = {"SWARMCHAT_MAX_INPUT": "1kB"}
    done = shop.invoke("storage", "import", "-", *SHOP, "--format", "text", piped="pita\n" * 30_000, env=small)
    assert (done.code, "bytes (100 × max_input)" in done.err) == (2, True), done.err
    done = shop.invoke("storage", "import", "-", *SHOP, "--format", "text", piped="pita\n")
    assert done.out == "breads: 1 added, 0 replaced; already there: 0\n"


def test_what_json_prints_is_imported_with_its_ids(shop):
    dump = run(shop, "breads", *SHOP, "--json").out
    file = write(shop, "dump.json", dump.replace("1.5", "2.5"))
    assert "cannot ask for confirmation" in run(shop, "import", file, *SHOP, code=2).err
    assert [item["price"] for item in items(shop).values()] == [3, 1.5]
    assert run(shop, "import", file, *SHOP, "--yes").out == "breads: 0 added, 1 replaced; already there: 1\n"
    assert [item["price"] for item in items(shop).values()] == [3, 2.5]
    define(shop, name="cafe", folder="cafe")
    run(shop, "import", file, "-S", "cafe")
    assert items(shop, "-S", "cafe") == items(shop)


def test_a_field_can_be_the_id(shop):
    run(shop, "import", write(shop, "one.csv", "id,name,price\n7,brioche,2\n"), *SHOP, "--id", "id")
    two = write(shop, "two.csv", "id,name,price\n7,brioche,3\n")
    run(shop, "import", two, *SHOP, "--id", "id", "--yes")
    assert items(shop)["7"] == {"id": 7, "name": "brioche", "price": 3}


@pytest.mark.parametrize(
    ("name", "text", "wrong", "code"),
    [
        (
            "a.json",
            '[{"name": "x"}, {"price": 1}]',
            "a.json, item 2: storage 'breads': {'price': 1} has no field 'name'",
            65,
        ),
        ("a.json", "[1", "a.json: invalid JSON", 65),
        ("a.jsonl", '{"name": "x"}\n{', "a.jsonl, line 2: invalid JSON", 65),
        ("a.csv", "name,price\nx\n", "a.csv, line 2: expected as many columns as in the first line", 65),
        ("a.csv", 'name,price\n"x,1\n', "a.csv, after line 1: invalid CSV", 65),
        ("a.csv", b"name\nB\xe4cker\n", "is not text", 2),
    ],
)
def test_a_wrong_file_imports_nothing(name, text, wrong, code, shop):
    done = run(shop, "import", write(shop, name, text), *SHOP, code=code)
    assert wrong in done.err
    assert len(done.err.splitlines()) == 1
    assert len(names(shop)) == 2


def test_a_typed_storage_takes_columns_of_its_type(program):
    Path(program.folder, "typed.py").write_text(
        "from dataclasses import dataclass\n"
        "from swarmchat.swarm import Agent, Storage, Swarm\n\n\n"
        "@dataclass\nclass Bread:\n    code: str\n    price: float = 1.0\n\n\n"
        'breads = Storage("breads", index=lambda bread: bread.code, type=Bread)\n'
        'swarm = Swarm("typed", [Agent("clerk")], storages=[breads])\n'
    )
    run(program, "import", write(program, "a.csv", "code,price\n007,2\n12,\n"), "-S", "typed.py")
    assert [*items(program, "-S", "typed.py").values()] == [{"code": "007", "price": 2.0}, {"code": "12", "price": 1.0}]
    done = run(program, "import", write(program, "a.txt", "rye\n"), "-S", "typed.py", code=65)
    assert "name the field for the line with --field" in done.err
    run(program, "import", "a.txt", "-S", "typed.py", "--field", "code")
    assert len(items(program, "-S", "typed.py")) == 3


def test_clear_and_reload(shop):
    run(shop, "import", write(shop, "a.csv", CSV), *SHOP)
    assert "cannot ask" in run(shop, "clear", *SHOP, code=2).err
    assert run(shop, "clear", *SHOP, "--dry-run").out == "breads: would remove 4\n"
    assert run(shop, "clear", *SHOP, "--yes").out == "breads: 4 removed\n"
    assert names(shop) == []
    assert run(shop, "reload", *SHOP, "--dry-run").out == "breads: 2 added\n"
    assert run(shop, "reload", *SHOP).out == "breads: 2 added\n"
    assert run(shop, "reload", *SHOP).out == "nothing differs from the definition\n"
    assert names(shop) == ["rye", "raisin bun"]


def test_which_storage_is_meant(shop):
    assert "has no storages; choose another swarm with -S" in run(shop, "clear", code=2).err
    assert "did you mean 'breads'?" in run(shop, "clear", "bread", *SHOP, code=66).err
    write(shop, "a.csv", CSV)
    assert "the file comes before the storage" in run(shop, "import", "breads", "a.csv", *SHOP, code=2).err
    assert "cannot be read" in run(shop, "import", "none.csv", *SHOP, code=66).err
    file = Path(shop.folder, "shop", "swarm.toml")
    file.write_text(file.read_text() + '\n[storages.drinks]\nindex = "name"\n')
    assert "has breads, drinks: give its NAME" in run(shop, "import", "a.csv", *SHOP, code=2).err
    write(shop, "drinks.csv", CSV)
    assert run(shop, "import", "drinks.csv", *SHOP).out == "drinks: 2 added, 0 replaced; already there: 0\n"
