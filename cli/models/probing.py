"""Probe a model and print each result as it arrives, then the verdict: ``swarmchat models test``."""

import asyncio
import sys
import textwrap
from collections.abc import Mapping
from contextlib import aclosing
from typing import Any, TextIO

from swarmchat.cli.errors import RescueExhausted
from swarmchat.cli.models.listing import CONNECT
from swarmchat.cli.settings import wiring
from swarmchat.cli.settings.models import choose_model, make_endpoint
from swarmchat.cli.terminal.capabilities import report_width
from swarmchat.cli.terminal.printing import print_json
from swarmchat.cli.terminal.sanitize import one_line
from swarmchat.swarm.conversation.events import Retrying
from swarmchat.swarm.errors import SwarmError
from swarmchat.swarm.models.base import Model
from swarmchat.swarm.models.openai_endpoint import OpenAIEndpoint
from swarmchat.swarm.probes.results import QUIRKS, merged_quirks, usable
from swarmchat.swarm.probes.runner import ProbeRun


async def run_test(flags: Mapping[str, Any], *, quick: bool, as_json: bool) -> None:
    """Run the probes and print their results.

    Raises the error that ends them early, after the results so far, and RescueExhausted if the model cannot chat.
    """
    settings = await choose_model(wiring.apply_settings(flags))
    model = make_endpoint(settings, most_retries=1, remember=False)
    progress = (sys.stderr if sys.stderr.isatty() else None) if as_json else sys.stdout

    def on_retry(event: Retrying) -> None:
        print(f"  {one_line(event.reason, 80)}; attempt {event.attempt} in {event.seconds:.1f} s", file=sys.stderr)

    if isinstance(model, OpenAIEndpoint):
        # What is imported for the first request would count as the server's time.
        await asyncio.to_thread(model.warm_up)
    run = ProbeRun(model, quick=quick, on_retry=on_retry)
    ended: SwarmError | None = None
    try:
        _say(progress, f"{one_line(model.name, 80)} at {_address(model) or 'no server: it is built in'}\n")
        _say(progress, _row("result", "probe", "rescue", "seen"))
        async with aclosing(run.run()) as results:
            async for result in results:
                _say(progress, _row(result.status, result.about, (result.steps or ["-"])[-1], result.seen))
    except SwarmError as error:
        ended = error
    finally:
        await model.close()
    report = _as_json(model, run, ended)
    if as_json:
        print_json(report)
    elif run.results:
        _print_verdict(report)
    if ended is not None:
        raise ended
    if report["usable"]["chat"] == "no":
        raise RescueExhausted(f"{model.name} gave no usable answer: it cannot chat with this server and these settings")


def _say(stream: TextIO | None, line: str) -> None:
    if stream is not None:
        print(line, file=stream, flush=True)


def _row(status: str, about: str, steps: str, seen: str) -> str:
    line = f"{status:<8} {about:<29} {steps:<12} "
    return line + one_line(seen, max(20, report_width() - len(line)))


def _address(model: Model) -> str | None:
    return one_line(model.address, 200) if isinstance(model, OpenAIEndpoint) else None


def _print_verdict(report: Mapping[str, Any]) -> None:
    print()
    for purpose, verdict in report["usable"].items():
        print(f"usable for {purpose + ':':<8} {verdict}")
    print(f"it took {report['requests']} requests, {report['tokens']:,} tokens, {report['seconds']:.0f} s")
    if report["quirks"]:
        print("\nmistakes, the rescue steps that handled them, and what to do")
    for name, quirk in report["quirks"].items():
        steps = f" ({', '.join(quirk['steps'])})" if quirk["steps"] else ""
        line = f"- {name}{steps}: {quirk['advice']}"
        print(textwrap.fill(line, report_width(), subsequent_indent="  ", break_on_hyphens=False))
    if report["adaptations"]:
        print("\nserver requirements, and how they are met")
    for name, effect in report["adaptations"].items():
        print(f"- {name}: {effect}")
    if report["model"] == "demo":
        print(f"\nthis is the demo model: its answers are scripted, not from an AI; {CONNECT}")


def _as_json(model: Model, run: ProbeRun, ended: SwarmError | None) -> dict[str, Any]:
    quirks = {name: {"steps": steps, "advice": QUIRKS[name]} for name, steps in merged_quirks(run.results).items()}
    return {
        "model": one_line(model.name, 200),
        "server": _address(model),
        "error": None if ended is None else one_line(str(ended), 1_000),
        "usable": usable(run.results),
        "quirks": quirks,
        "adaptations": dict(model.adaptations) if isinstance(model, OpenAIEndpoint) else {},
        "probes": [{**result.as_dict(), "seen": one_line(result.seen, 500)} for result in run.results],
        "requests": run.requests,
        "tokens": run.tokens,
        "seconds": round(run.seconds, 1),
    }
