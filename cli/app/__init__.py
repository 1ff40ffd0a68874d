"""What all commands share: the command table, options, exit codes, signals.

Read `command_table` first, then `command_runner`.
"""
