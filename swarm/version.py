"""Which version of the program this is."""


def program_version() -> str:
    """Return the version, as far as it is known: there is none where the program runs without being installed."""
    # Costs as much as the rest of this room together.
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("swarmchat")
    except PackageNotFoundError:
        return "unknown"
