"""``swarmchat replay``: what was said once is done again, and must come to the same."""

from pathlib import Path
from typing import Annotated

import typer
from swarmchat.cli.app import options


def replay(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE|FOLDER...", help="Transcripts; of a folder all *.jsonl and *.json.")
    ],
    swarm: options.SwarmName = None,
    mode: Annotated[
        str, typer.Option(help="verify: compare all. tools: run the tools too. live: ask a model. show: play it back.")
    ] = "verify",
    backend: options.Backend = None,
    model: Annotated[
        list[str] | None, typer.Option("-m", "--model", help="With live: which model answers; several one by one.")
    ] = None,
    base_url: Annotated[str | None, typer.Option(help="With live: an OpenAI-compatible server, with its /v1.")] = None,
    update: Annotated[bool, typer.Option("--update", help="Write what comes out into the file.")] = False,
    start: Annotated[int | None, typer.Option("--from", min=1, metavar="TURN", help="Begin with this turn.")] = None,
    until: Annotated[int | None, typer.Option(min=1, metavar="TURN", help="End with this turn.")] = None,
    speed: Annotated[
        float | None, typer.Option(min=0, help="With show: how many times as fast as then; 0: at once.")
    ] = None,
    every: Annotated[bool, typer.Option("--all-differences", help="Show all of them, not only the first.")] = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Name conversations that are the same too.")] = False,
    as_json: options.Json = False,
    junit: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a report for CI, as JUnit's XML.")] = None,
    emit_test: Annotated[bool, typer.Option("--emit-test", help="Write a test for pytest that replays it.")] = False,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="With --emit-test: write it there.")
    ] = None,
    redis_url: options.RedisUrl = None,
    data_dir: options.DataDir = None,
    profile: options.Profile = None,
) -> None:
    """Do again what transcripts tell, and tell what does not come to the same. Without network and key, but for live.

    A transcript is a log (swarmchat sessions export), a conversation of another program, or a few lines that were
    written by hand with what is expected of them. The answers of the model and of the tools come from it; context,
    rotation, handoffs, policies, rescue and states are computed anew and compared, field by field.

    The exit code is 0 if all is the same, 3 if anything differs, and 65 if a file cannot be used, whatever the others
    are.
    """
    from swarmchat.cli.app.runner import run_to_exit_code
    from swarmchat.cli.app.signals import run_until_signal
    from swarmchat.cli.replay.run import ReplayRequest, run

    flags = options.flags(
        swarm=swarm, backend=backend, base_url=base_url, redis_url=redis_url, data_dir=data_dir, profile=profile
    )
    wanted = ReplayRequest(
        files, flags, mode, tuple(model or ()), update, start, until, every, verbose, as_json, junit, speed
    )
    codes: list[int] = []

    async def work() -> None:
        if emit_test:
            from swarmchat.cli.replay.emit_test import emit

            await emit(wanted, output)
        elif output is not None:
            from swarmchat.cli.errors import UsageError

            raise UsageError("-o says where to write a test: it goes with --emit-test")
        else:
            codes.append(await run(wanted))

    async def guard() -> int:
        await run_until_signal(work(), "SIGINT", "SIGTERM", "SIGHUP")
        return codes[0] if codes else 0

    raise typer.Exit(run_to_exit_code(guard))
