"""Every example prints the output that its docstring shows."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

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
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "SWARMCHAT_"))}
    environment["HOME"] = str(tmp_path)
    for arguments, expected in runs:
        command = [sys.executable, "-W", "error", str(example), *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.rstrip() == expected
