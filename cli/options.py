"""Options that several commands have, under one name and with one meaning."""

from pathlib import Path
from typing import Annotated

import typer

Backend = Annotated[
    str | None, typer.Option("-b", "--backend", help="Where sessions are kept: memory, disk, redis, or a URL.")
]
SwarmName = Annotated[
    str | None,
    typer.Option("-S", "--swarm", help="The swarm: a file, a folder, MODULE:NAME, helpdesk or phone_shop."),
]
SessionName = Annotated[str | None, typer.Option("-s", "--session", help="Which session; the last used by default.")]
Client = Annotated[str | None, typer.Option(help="Who is talking; by default the system's user.")]
RedisUrl = Annotated[str | None, typer.Option(help="What redis means: redis://, rediss:// or unix://.")]
DataDir = Annotated[Path | None, typer.Option(help="Where disk means.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def flags(**given: object) -> dict[str, object]:
    """Return options as settings take them."""
    return {name: str(value) if isinstance(value, Path) else value for name, value in given.items()}
