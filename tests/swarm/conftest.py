"""The backends that a session must behave the same on."""

import pytest


@pytest.fixture(params=["memory", "disk", "redis"])
def backend_url(request, tmp_path):
    """The URL of an empty store of each kind."""
    if request.param == "memory":
        return "memory:"
    if request.param == "disk":
        return f"disk:{tmp_path / 'store'}"
    return request.getfixturevalue("redis_url")
