"""Ask for the user's consent to settings in a folder's settings file."""

import shutil
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from swarmchat.cli.errors import ConfigError, UsageError
from swarmchat.cli.settings.credentials import as_text, shown_value
from swarmchat.cli.settings.folder import NEEDS_CONSENT, PROJECT_FILE, Consents, needs_consent
from swarmchat.cli.settings.loading import PROFILES, read_file
from swarmchat.cli.settings.settings import Settings
from swarmchat.cli.terminal.confirmation import can_confirm, confirm
from swarmchat.cli.terminal.printing import as_line
from swarmchat.cli.terminal.sanitize import one_line
from swarmchat.swarm.common.names import nearest


async def ask_consent(settings: Settings) -> bool:
    """Ask whether the withheld ``settings`` may be used; remember a yes."""
    path = Path.cwd() / PROJECT_FILE
    return await _ask(path, settings.withheld, yes=False)


async def change_trust(folder: Path, *, yes: bool, listed: bool, remove: bool) -> None:
    """Carry out `swarmchat trust`: ask for consent to the file in ``folder``, list all consents, or withdraw one."""
    consents, path = Consents(), folder / PROJECT_FILE
    if listed:
        for each in sorted(consents.all()):
            print(as_line(each))
        return
    if remove:
        if not _stored(lambda: consents.withdraw(path)):
            raise UsageError(f"{path} is not trusted; {nearest(str(path.resolve()), consents.all())}")
        print(as_line(f"{path} is no longer trusted"))
        return
    if not path.is_file():
        raise UsageError(f"{folder} has no {PROJECT_FILE}: nothing to trust")
    content = read_file(path)
    asking = {name: value for name, value in content.items() if needs_consent(name, value)}
    for table in content.get(PROFILES, {}).values():
        asking |= {name: value for name, value in table.items() if needs_consent(name, value)}
    if not asking:
        print(as_line(f"{path} sets nothing that needs your consent"))
    elif consents.has(path, content):
        print(as_line(f"{path} is trusted as it is now"))
    else:
        if not yes and not can_confirm():
            _show(path, asking)
            raise UsageError("cannot ask without a terminal: pass --yes if you have read this")
        await _ask(path, asking, yes=yes)


async def _ask(path: Path, asking: Mapping[str, Any], *, yes: bool) -> bool:
    _show(path, asking)
    if not yes and not await confirm("  Trust it as it is now, with its swarm?"):
        return False
    _stored(lambda: Consents().give(path, read_file(path)))
    return True


def _show(path: Path, asking: Mapping[str, Any]) -> None:
    # A terminal alone would break the lines inside words.
    width = shutil.get_terminal_size().columns - 1 if sys.stderr.isatty() else 1000
    print(as_line(f"  {path} wants to set:"), file=sys.stderr)
    for name, value in asking.items():
        line = f"- {name} = {one_line(as_text(shown_value(name, value)), 60)}, which {NEEDS_CONSENT[name]}"
        print(textwrap.fill(line, width, initial_indent="  ", subsequent_indent="    "), file=sys.stderr)


def _stored(change: Any) -> Any:
    try:
        return change()
    except OSError as error:
        raise ConfigError(f"{Consents().path} cannot be written: {error.strerror}") from error
