"""Type checks of programs as a user would write them, in a folder outside of the checkout."""

import subprocess
from pathlib import Path

CONFIG = """\
[mypy]
strict = true
# No public name speaks of a type of these, and to read them takes four fifths of the time.
[mypy-anyio.*,click.*,httpcore.*,httpx.*,mcp.*,numpy.*,openai.*,opentelemetry.*,PIL.*,prompt_toolkit.*,redis.*,rich.*,starlette.*,tiktoken.*,typer.*]
follow_imports = skip
follow_imports_for_stubs = true
"""


def type_errors(python: Path | str, folder: Path) -> list[str]:
    """Check all programs in ``folder`` strictly with the mypy of ``python``; return the lines that it prints."""
    (folder / "mypy.ini").write_text(CONFIG, "utf-8")
    programs = sorted(path.name for path in folder.glob("*.py"))
    command = [python, "-m", "mypy", "--no-error-summary", "--cache-dir", folder / "cache", *programs]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False).stdout.splitlines()
