"""``python -m swarmchat.cli``."""

from swarmchat.cli.main import main

main()
