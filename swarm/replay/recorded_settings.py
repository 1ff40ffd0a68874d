"""The settings of a recorded session, as its replay uses them."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from swarmchat.swarm.replay.handwritten import SETTINGS, WINDOWS

if TYPE_CHECKING:
    from swarmchat.swarm.agents.rescue_steps import Step


def recorded_settings(data: Mapping[str, Any], steps: Sequence["Step"], *, by_hand: bool) -> dict[str, Any]:
    """Return the settings in a ``session`` or ``set`` record; ``steps`` are rescue steps that may be functions."""
    recorded, names = data.get("settings"), (*SETTINGS, *WINDOWS) if by_hand else SETTINGS
    fields = {name: recorded[name] for name in names if name in recorded} if isinstance(recorded, dict) else {}
    if isinstance(fields.get("rescue"), list):
        # A record holds the names of functions.
        functions = {getattr(step, "__name__", ""): step for step in steps if callable(step)}
        fields["rescue"] = [functions.get(name, name) for name in fields["rescue"]]
    return fields
