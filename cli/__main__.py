"""``python -m swarmchat.cli``."""

from swarmchat.cli.entry import main

main()
