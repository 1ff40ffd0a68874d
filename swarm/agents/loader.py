"""Load a swarm from a file, a folder, a module, or the examples."""

import difflib
import importlib
import re
import sys
from pathlib import Path
from types import ModuleType

from swarmchat.swarm.agents.agent import Agent, Swarm, as_swarm
from swarmchat.swarm.agents.python_file import load_module, where_it_failed
from swarmchat.swarm.common.mistakes import TEXT, check_value
from swarmchat.swarm.errors import DefinitionError

EXAMPLES = ("helpdesk", "phone_shop")
"""The names of the swarms that come with the program."""

TOML = "swarm.toml"
_ATTRIBUTE = "swarm"


def load_swarm(name: str, folder: Path | str) -> Swarm:
    """Return the swarm ``name``; relative paths are looked up in ``folder``.

    ``name`` is one of EXAMPLES, whatever is in the folder; or the path of a Python file (``FILE.py`` or
    ``FILE.py:ATTRIBUTE``), of a TOML file or of a folder with a ``swarm.toml``; or ``MODULE:ATTRIBUTE``. The default
    attribute is ``swarm``. Raises DefinitionError, naming the file, the line or key, and the nearest valid name.
    """
    check_value("load_swarm", "name", name, TEXT)
    folder = Path(folder)
    path, attribute = _split(name)
    if path in EXAMPLES and attribute is None:
        # Before the folder, which may be somebody else's, can offer one of the same name: ./helpdesk means that.
        return _swarm_of(importlib.import_module(f"swarmchat.examples.{path}"), _ATTRIBUTE, path)
    file = (folder / path).expanduser()
    if file.is_dir():
        if not (file / TOML).is_file():
            raise DefinitionError(f"{file} has no {TOML}: name the swarm's file, or create one with swarmchat init")
        file = file / TOML
    if file.is_file():
        if file.suffix == ".toml":
            # It imports pydantic, which callers that only need EXAMPLES should not pay for.
            from swarmchat.swarm.agents.toml_file import read_toml

            return read_toml(file)
        return _swarm_of(load_module(file), attribute or _ATTRIBUTE, str(file))
    if attribute is not None and re.fullmatch(r"[\w.]+", path):
        return _swarm_of(_import(path, folder), attribute, path)
    if file.suffix in (".py", ".toml") or len(file.parts) > len(folder.parts) + 1:
        raise DefinitionError(f"unknown swarm {name!r}: {file} does not exist")
    similar = difflib.get_close_matches(path, EXAMPLES, n=1)
    choices = f"name a file, a folder with a {TOML}, MODULE:NAME, or one of {', '.join(EXAMPLES)}"
    raise DefinitionError(f"unknown swarm {name!r}; " + (f"did you mean {similar[0]!r}?" if similar else choices))


def _split(name: str) -> tuple[str, str | None]:
    """Split off ``:ATTRIBUTE``. A colon after a single letter belongs to a Windows path."""
    path, colon, attribute = name.rpartition(":")
    return (path, attribute) if colon and len(path) > 1 and attribute.isidentifier() else (name, None)


def _import(name: str, folder: Path) -> ModuleType:
    sys.path.insert(0, str(folder))
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise DefinitionError(f"unknown module {error.name!r}: is it in this folder, or installed?") from error
    except (Exception, SystemExit) as error:
        raise DefinitionError(where_it_failed(Path(name), error)) from error
    finally:
        sys.path.remove(str(folder))


def _swarm_of(module: ModuleType, attribute: str, where: str) -> Swarm:
    value = getattr(module, attribute, None)
    if isinstance(value, Swarm | Agent):
        return as_swarm(value)
    swarms = [name for name, value in vars(module).items() if isinstance(value, Swarm)]
    hint = f"swarms in it: {', '.join(map(repr, swarms))}" if swarms else "it defines no swarm"
    problem = f"has the type {type(value).__name__}, expected a Swarm or an Agent"
    if value is None:
        problem = "is not defined"
    raise DefinitionError(f"{where}: {attribute!r} {problem}; {hint}")
