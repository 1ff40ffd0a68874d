"""Programs as a user would write them, those of the pages among them, and type checks of them outside the checkout."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]

CONFIG = """\
[mypy]
strict = true
# No public name speaks of a type of these, and to read them takes four fifths of the time.
[mypy-anyio.*,click.*,httpcore.*,httpx.*,mcp.*,numpy.*,openai.*,opentelemetry.*,PIL.*,prompt_toolkit.*,redis.*,rich.*,starlette.*,tiktoken.*,typer.*]
follow_imports = skip
follow_imports_for_stubs = true
"""


def blocks(text: str, language: str) -> list[str]:
    """Return the code blocks of a page."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def page_programs() -> dict[str, str]:
    """Return the Python of each page, by a name that a module can have; the page on swarms is one program."""
    found = {}
    for page in (ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))):
        programs = blocks(page.read_text("utf-8"), "python")
        for number, program in enumerate(["\n".join(programs)] if page.stem == "swarms" else programs):
            found[f"{page.stem.lower().replace('-', '_')}_{number}"] = program
    return found


def type_errors(python: Path | str, folder: Path) -> list[str]:
    """Check all programs in ``folder`` strictly with the mypy of ``python``; return the lines that it prints."""
    (folder / "mypy.ini").write_text(CONFIG, "utf-8")
    programs = sorted(path.name for path in folder.glob("*.py"))
    command = [python, "-m", "mypy", "--no-error-summary", "--cache-dir", folder / "cache", *programs]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False).stdout.splitlines()
