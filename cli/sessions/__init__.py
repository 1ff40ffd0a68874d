"""`swarmchat sessions`: list, show, search, move and delete sessions."""
