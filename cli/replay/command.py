"""``swarmchat replay``: options and exit code."""

import os
from pathlib import Path
from typing import Annotated

import typer
from swarmchat.cli.app import options
from swarmchat.cli.app.command_runner import run_interruptible


@options.settings("redis_url", "data_dir", "profile")
def replay(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE[::NAME]|FOLDER...", help="Transcripts, or folders of them."),
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
    level: Annotated[
        str, typer.Option("--diff", help="How much to show: no, line (per conversation), short (causes) or long (all).")
    ] = "short",
    fail_fast: Annotated[
        bool, typer.Option("-x", "--fail-fast", help="Stop at the first conversation that differs.")
    ] = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="List conversations that are the same too.")] = False,
    expression: Annotated[
        str, typer.Option("-k", metavar="EXPR", help="Only conversations whose FILE::NAME or tags contain the words.")
    ] = "",
    tag: Annotated[
        list[str] | None, typer.Option("--tag", help="Only conversations with this tag; repeat for several.")
    ] = None,
    jobs: Annotated[
        int, typer.Option("-j", "--jobs", min=0, help="Number of processes; 0: one for each processor.")
    ] = 1,
    repeat: Annotated[int, typer.Option(min=1, help="With --mode live: replay each conversation so often.")] = 1,
    min_pass: Annotated[
        float, typer.Option(min=0, max=1, help="With --repeat: share of the replays that must pass, such as 0.9.")
    ] = 1.0,
    cassette: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="With --mode live: keep answers here, and do not ask again for them."),
    ] = None,
    refresh: Annotated[bool, typer.Option("--refresh", help="With --cassette: ask again, and keep the new.")] = False,
    as_json: options.Json = False,
    junit: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a JUnit XML report for CI.")] = None,
    summary: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Append a Markdown summary, as for $GITHUB_STEP_SUMMARY.")
    ] = None,
    github: Annotated[
        bool | None,
        typer.Option("--github/--no-github", help="Print annotations; default: if GITHUB_ACTIONS is true."),
    ] = None,
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
    from swarmchat.cli.replay.request import ReplayRequest
    from swarmchat.cli.replay.run import replay_transcripts

    flags = {**flags, "swarm": swarm, "backend": backend, "base_url": base_url}
    request = ReplayRequest(
        files=files,
        flags=flags,
        mode=mode,
        models=tuple(model or ()),
        update=update,
        yes=yes,
        start=start,
        until=until,
        level=level,
        fail_fast=fail_fast,
        verbose=verbose,
        as_json=as_json,
        junit=junit,
        speed=speed,
        expression=expression,
        tags=tuple(tag or ()),
        jobs=jobs or os.cpu_count() or 1,
        repeat=repeat,
        min_pass=min_pass,
        cassette=cassette,
        refresh=refresh,
        summary=summary,
        github=os.environ.get("GITHUB_ACTIONS") == "true" if github is None else github,
    )

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
