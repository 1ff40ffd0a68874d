"""``swarmchat sessions``: its commands, from the modules that they stand in."""

from swarmchat.cli.sessions import removal_commands, transfer_commands
from swarmchat.cli.sessions.commands import sessions_app

removal_commands.add_to(sessions_app)
transfer_commands.add_to(sessions_app)

__all__ = ["sessions_app"]
