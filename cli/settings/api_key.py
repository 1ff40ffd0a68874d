"""The API key: the one that is set, or the output of the user's ``api_key_command``."""

from contextlib import suppress
from functools import cache

from swarmchat.cli.errors import ConfigError
from swarmchat.cli.settings.settings import Settings

_SECONDS = 60
"""How long a command may take: it may ask for a passphrase in a window of its own."""


def has_key(settings: Settings) -> bool:
    """Whether there is a key, or a command for one."""
    return bool(settings.api_key or settings.api_key_command)


def key_origin(settings: Settings) -> str:
    """Return where the key comes from."""
    return settings.origins.get("api_key" if settings.api_key else "api_key_command", "")


def read_key(settings: Settings) -> str | None:
    """Return the key; ``None`` if there is none. Runs the command at most once. Raises ConfigError."""
    if settings.api_key_command is None:
        return settings.api_key
    return _printed(settings.api_key_command)


def secrets_of(settings: Settings) -> set[str]:
    """Return the key and the passwords in the settings, so that they can be masked. Asks the user nothing anew."""
    from swarmchat.cli.settings.masking import url_passwords

    urls = (settings.backend, settings.redis_url, settings.base_url, settings.embedding_base_url)
    found = {password for url in urls if url for password in url_passwords(url)}
    with suppress(ConfigError):
        found.add((read_key(settings) or "").strip())
    return found


@cache
def _printed(command: str) -> str:
    import shlex
    import subprocess

    # Neither the command nor what it prints is told: both may hold the key.
    problem, hint = "", "run it yourself to see why"
    try:
        words = shlex.split(command)
        # Standard input may be the user's question.
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, timeout=_SECONDS)  # noqa: S603 - the user's own
    except (ValueError, OSError, IndexError) as error:
        problem = f"cannot be run ({getattr(error, 'strerror', None) or error})"
        hint = "write a program with its arguments, as for a shell"
    except subprocess.TimeoutExpired:
        problem = f"has not ended within {_SECONDS} s"
    else:
        key = done.stdout.decode("utf-8", "replace").strip()
        if done.returncode == 0 and key:
            return key
        problem = f"ended with exit code {done.returncode}" if done.returncode else "printed nothing"
    raise ConfigError(f"api_key_command {problem}: {hint}")
