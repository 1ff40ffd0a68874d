"""Load the user's Python file; an error names the line that failed."""

import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType

from swarmchat.swarm.errors import DefinitionError


def load_module(path: Path) -> ModuleType:
    """Run the Python file ``path`` and return it as a module; it can import modules from its folder.

    Raises DefinitionError naming the line that failed.
    """
    spec = importlib.util.spec_from_file_location(f"swarmchat_loaded_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise DefinitionError(f"{path} is not a Python file: expected FILE.py")
    module = importlib.util.module_from_spec(spec)
    # Annotations of a module's functions are looked up through sys.modules.
    sys.modules[spec.name] = module
    sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise DefinitionError(where_it_failed(path, error)) from error
    finally:
        sys.path.remove(str(path.parent))
    return module


def where_it_failed(path: Path, error: BaseException) -> str:
    """Return a message with the file, the line, and the error."""
    if isinstance(error, SyntaxError):
        return f"{error.filename or path}, line {error.lineno}: {error.msg}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == path]
    line = f", line {lines[-1]}" if lines else ""
    kind = "" if isinstance(error, DefinitionError) else f"{type(error).__name__}: "
    return f"{path}{line}: {kind}{error}"
