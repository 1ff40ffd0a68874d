"""``swarmchat replay``: options and exit code."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from swarmchat.cli.app import options
from swarmchat.cli.app.command_runner import run_interruptible

if TYPE_CHECKING:
    from swarmchat.cli.replay.pool import Worker
    from swarmchat.cli.replay.request import ReplayRequest

Files = Annotated[list[Path], typer.Argument(metavar="FILE[::NAME]|FOLDER...", help="Transcripts, or folders of them.")]
Mode = Annotated[
    str, typer.Option(help="verify: compare all. tools: run the tools too. live: ask a model. show: play it back.")
]
Models = Annotated[
    list[str] | None, typer.Option("-m", "--model", help="With --mode live: the model to try; repeat for several.")
]
BaseUrl = Annotated[str | None, typer.Option(help="With --mode live: an OpenAI-compatible server, with its /v1.")]
Update = Annotated[bool, typer.Option("--update", help="Accept the changes: write the new results into the file.")]
Ignore = Annotated[
    list[str] | None, typer.Option(metavar="FIELD", help="Field not to compare, such as request.tokens.")
]
Normalize = Annotated[
    list[str] | None, typer.Option(metavar="RULE", help="Ignore dates, ids, numbers, or matches of a regex in texts.")
]
Record = Annotated[
    bool, typer.Option("--record", help="Run handwritten files with a model, and write its answers into them.")
]
Yes = Annotated[
    bool, typer.Option("-y", "--yes", help="With --update: do not ask, even if the conversation takes another course.")
]
Start = Annotated[int | None, typer.Option("--from", min=1, metavar="TURN", help="First turn to replay.")]
Until = Annotated[int | None, typer.Option(min=1, metavar="TURN", help="Last turn to replay.")]
Speed = Annotated[
    float | None, typer.Option(min=0, help="With --mode show: playback speed; 2 is twice as fast, 0 does not wait.")
]
Expression = Annotated[
    str, typer.Option("-k", metavar="EXPR", help="Only conversations whose FILE::NAME or tags contain these words.")
]
Tags = Annotated[list[str] | None, typer.Option("--tag", help="Only conversations with this tag; repeat for several.")]
Jobs = Annotated[int, typer.Option("-j", "--jobs", min=0, help="Number of processes; 0: one per processor.")]
Repeat = Annotated[int, typer.Option(min=1, help="With --mode live: how many times to replay each conversation.")]
MinPass = Annotated[
    float, typer.Option(min=0, max=1, help="With --repeat: share of the replays that must pass, such as 0.9.")
]
Cassette = Annotated[
    Path | None, typer.Option(metavar="FOLDER", help="With --mode live: store the model's answers, and reuse them.")
]
Refresh = Annotated[bool, typer.Option("--refresh", help="With --cassette: replace the stored answers.")]
Level = Annotated[
    str, typer.Option("--diff", help="How much to show: no, line (per conversation), short (causes) or long (all).")
]
FailFast = Annotated[bool, typer.Option("-x", "--fail-fast", help="Stop at the first conversation that differs.")]
Verbose = Annotated[bool, typer.Option("-v", "--verbose", help="List conversations that are the same too.")]
Junit = Annotated[Path | None, typer.Option(metavar="FILE", help="Write a JUnit XML report for CI.")]
Summary = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Append a Markdown summary, as to $GITHUB_STEP_SUMMARY.")
]
Github = Annotated[
    bool | None, typer.Option("--github/--no-github", help="Print annotations; default: if GITHUB_ACTIONS is true.")
]
EmitTest = Annotated[bool, typer.Option("--emit-test", help="Write a pytest test that replays the transcripts.")]
Output = Annotated[Path | None, typer.Option("-o", "--output", metavar="FILE", help="With --emit-test: file to write.")]


@options.settings("redis_url", "data_dir", "profile")
def replay(
    files: Files,
    swarm: options.SwarmName = None,
    mode: Mode = "verify",
    ignore: Ignore = None,
    normalize: Normalize = None,
    expression: Expression = "",
    tag: Tags = None,
    jobs: Jobs = 1,
    backend: options.Backend = None,
    model: Models = None,
    base_url: BaseUrl = None,
    repeat: Repeat = 1,
    min_pass: MinPass = 1.0,
    cassette: Cassette = None,
    refresh: Refresh = False,
    record: Record = False,
    update: Update = False,
    yes: Yes = False,
    start: Start = None,
    until: Until = None,
    speed: Speed = None,
    level: Level = "short",
    fail_fast: FailFast = False,
    verbose: Verbose = False,
    as_json: options.Json = False,
    junit: Junit = None,
    summary: Summary = None,
    github: Github = None,
    emit_test: EmitTest = False,
    output: Output = None,
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

    rules = (tuple(ignore or ()), tuple(normalize or ()))
    mode = "live" if record and mode == "verify" else mode
    flags = {**flags, "swarm": swarm, "backend": backend, "base_url": base_url}
    if github is None:
        github = os.environ.get("GITHUB_ACTIONS") == "true"
    processes = jobs or os.cpu_count() or 1
    chosen = (mode, tuple(model or ()), update, yes, start, until, expression, tuple(tag or ()))
    run = (processes, repeat, min_pass, cassette, refresh)
    request = ReplayRequest(
        files, flags, *chosen, *run, level, fail_fast, verbose, as_json, junit, summary, github, speed, record, *rules
    )
    workers: Sequence[Worker] = ()
    if processes > 1 and not emit_test and mode != "show":
        from swarmchat.cli.replay.worker import fork_workers

        workers = fork_workers(processes)
    run_interruptible(lambda: _replay(request, workers, emit_test=emit_test, output=output))


async def _replay(
    request: "ReplayRequest", workers: "Sequence[Worker]", *, emit_test: bool, output: Path | None
) -> int:
    if emit_test:
        from swarmchat.cli.replay.emit_test import emit

        await emit(request, output)
        return 0
    if output is not None:
        from swarmchat.cli.errors import UsageError

        raise UsageError("-o is the file for a test: use it with --emit-test")
    from swarmchat.cli.replay.run import replay_transcripts

    return await replay_transcripts(request, workers)
