"""What can go wrong in the program itself.

    CliError            the base: exit code 1
    ├── ConfigError     a setting or a settings file that cannot be used: 78
    ├── UsageError      the command line makes no sense: 2
    ├── NotFoundError   what was asked for does not exist: 66
    ├── ToolFailedError a tool that was called by hand failed: 1
    ├── ReplayMismatch  a replay did not come to the same: 3
    ├── RescueExhausted the model gave no answer that could be used, and --strict was given: 4
    └── OutputLost      the answer could not be written to standard output: 1

Errors of the other rooms are shown the same way: one line on stderr, and the ``exit_code`` that they carry.
"""


class CliError(Exception):
    """Base of all errors of this room."""

    exit_code = 1


class ConfigError(CliError):
    """A setting has a value that it cannot have, or a settings file cannot be read."""

    exit_code = 78


class UsageError(CliError):
    """The command line asks for what does not go together."""

    exit_code = 2


class NotFoundError(CliError):
    """There is no such session, state, tool or ban."""

    exit_code = 66


class ToolFailedError(CliError):
    """A tool that was called by hand raised an error."""


class ReplayMismatch(CliError):
    """What a transcript tells does not come to the same again."""

    exit_code = 3


class RescueExhausted(CliError):
    """Every step of the rescue was taken, and there is only the placeholder."""

    exit_code = 4


class OutputLost(CliError):
    """Standard output takes no more: its disk is full, for example."""
