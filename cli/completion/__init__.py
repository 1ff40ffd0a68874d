"""Tab completion in the shell.

Read `command_line` first, then `values`.
"""
