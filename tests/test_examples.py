"""Every example prints the output that its docstring shows."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
import warm

FOLDER = Path(__file__).parents[1] / "examples"
PROGRAMS = sorted(path for path in FOLDER.glob("*.py") if "$ python examples/" in path.read_text("utf-8"))


def _runs(example: Path) -> Iterator[tuple[list[str], str]]:
    """Yield the arguments and the output of each run that the docstring shows."""
    docstring = ast.get_docstring(ast.parse(example.read_text("utf-8"))) or ""
    for shown in docstring.split("$ python examples/")[1:]:
        command, _, output = shown.partition("\n")
        name, *arguments = command.split()
        assert name == example.name
        yield arguments, output.rstrip()


@pytest.mark.parametrize("example", PROGRAMS, ids=lambda path: path.stem)
def test_an_example_prints_the_output_in_its_docstring(example: Path, tmp_path: Path):
    runs = list(_runs(example))
    # No key and no address: an example that asks for a server would fail.
    environment = {**warm.environment(), "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path.parent / "cache")}
    for arguments, expected in runs:
        done = warm.run_python("-W", "error", example, *arguments, env=environment, cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.rstrip() == expected
