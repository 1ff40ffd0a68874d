"""`swarmchat state`, `storage`, `memory`, `bans` and `online`: look at what is kept beside the log."""
