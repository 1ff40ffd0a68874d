"""Errors of the program itself, each with an exit code.

    CliError            the base: exit code 1
    ├── ConfigError     a setting or a settings file is invalid: 78
    ├── UsageError      the command line is invalid: 2
    ├── NotFoundError   a session, state, tool or ban does not exist: 66
    ├── ToolFailedError a tool that was called by hand failed: 1
    ├── ReplayMismatch  a replay gave a different result: 3
    ├── McpUnavailable  an MCP server cannot be reached: 69
    ├── RescueExhausted the model gave no usable answer, with --strict: 4
    └── OutputLost      the answer could not be written to standard output: 1

Errors of the other rooms are shown the same way: one line on stderr, and their ``exit_code``.
"""


class CliError(Exception):
    """Base of all errors of this room."""

    exit_code = 1


class ConfigError(CliError):
    """A setting has an invalid value, or a settings file cannot be read."""

    exit_code = 78


class UsageError(CliError):
    """Arguments are missing or contradict each other."""

    exit_code = 2


class NotFoundError(CliError):
    """A session, state, tool or ban does not exist."""

    exit_code = 66


class ToolFailedError(CliError):
    """A tool that was called by hand raised an error."""


class ReplayMismatch(CliError):
    """A replay gave a result that differs from the transcript."""

    exit_code = 3


class McpUnavailable(CliError):
    """An MCP server cannot be started, or does not answer."""

    exit_code = 69


class RescueExhausted(CliError):
    """The model gave no usable answer after all rescue steps."""

    exit_code = 4


class OutputLost(CliError):
    """Standard output cannot be written, for example because it is closed or its disk is full."""
