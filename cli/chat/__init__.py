"""`swarmchat chat` and `swarmchat run`.

Read `chat` first, then `repl`.
"""
