"""``swarmchat replay``: options and exit code."""

from pathlib import Path
from typing import Annotated

import typer
from swarmchat.cli.app import options
from swarmchat.cli.app.command_runner import run_interruptible

Level = Annotated[
    str, typer.Option("--diff", help="How much to show: no, line (per conversation), short (causes) or long (all).")
]
FailFast = Annotated[bool, typer.Option("-x", "--fail-fast", help="Stop at the first conversation that differs.")]


@options.settings("redis_url", "data_dir", "profile")
def replay(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE|FOLDER...", help="Transcripts, or folders of *.jsonl and *.json.")
    ],
    swarm: options.SwarmName = None,
    mode: Annotated[
        str, typer.Option(help="verify: compare all. tools: run the tools too. live: ask a model. show: play it back.")
    ] = "verify",
    backend: options.Backend = None,
    model: Annotated[
        list[str] | None, typer.Option("-m", "--model", help="With --mode live: the model to try; repeat for several.")
    ] = None,
    base_url: Annotated[
        str | None, typer.Option(help="With --mode live: an OpenAI-compatible server, with its /v1.")
    ] = None,
    update: Annotated[
        bool, typer.Option("--update", help="Accept the changes: write the new results into the file.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("-y", "--yes", help="With --update: do not ask about changes of the conversation's course.")
    ] = False,
    start: Annotated[int | None, typer.Option("--from", min=1, metavar="TURN", help="First turn to replay.")] = None,
    until: Annotated[int | None, typer.Option(min=1, metavar="TURN", help="Last turn to replay.")] = None,
    speed: Annotated[
        float | None, typer.Option(min=0, help="With --mode show: playback speed; 2 is twice as fast, 0 does not wait.")
    ] = None,
    level: Level = "short",
    fail_fast: FailFast = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="List conversations that are the same too.")] = False,
    as_json: options.Json = False,
    junit: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a JUnit XML report for CI.")] = None,
    emit_test: Annotated[
        bool, typer.Option("--emit-test", help="Write a pytest test that replays the transcript.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="With --emit-test: file to write.")
    ] = None,
    *,
    flags: options.Flags,
) -> None:
    """Replay recorded conversations and report what changed. Needs no network or key, except with --mode live.

    A transcript is a log (swarmchat sessions export), a conversation of another program, or a few handwritten lines
    with expectations. The answers of the model and the results of the tools come from the transcript; context,
    rotation, handoffs, policies, rescue and states are computed again and compared, field by field.

    The exit code is 0 if nothing changed, 3 if anything differs, and 65 if any file cannot be used.
    """
    from swarmchat.cli.replay.run import ReplayRequest, replay_transcripts

    flags = {**flags, "swarm": swarm, "backend": backend, "base_url": base_url}
    shown = (level, fail_fast, verbose, as_json, junit, speed)
    request = ReplayRequest(files, flags, mode, tuple(model or ()), update, yes, start, until, *shown)

    async def work() -> int:
        if emit_test:
            from swarmchat.cli.replay.emit_test import emit

            await emit(request, output)
            return 0
        if output is not None:
            from swarmchat.cli.errors import UsageError

            raise UsageError("-o is the file for a test: use it with --emit-test")
        return await replay_transcripts(request)

    run_interruptible(work)
