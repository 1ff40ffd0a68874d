"""The small shop with a scripted model, on disk and in Redis."""

import asyncio

import pytest
from swarmchat.examples.small_shop import Line, basket, main, order, swarm
from swarmchat.swarm import ScriptedModel, Session
from swarmchat.swarm.testing import call


@pytest.mark.parametrize("store", ["disk", "redis"])
def test_an_order_is_kept(store, tmp_path, capsys, request):
    backend = f"disk:{tmp_path}" if store == "disk" else request.getfixturevalue("redis_url")
    lines = [{"item": "tea", "count": 2}, {"item": "milk", "count": 1}]
    model = ScriptedModel([call("transfer_to_sales"), call(order, {"lines": lines}), "Noted."])
    asyncio.run(main(backend, model, "two teas and a milk"))
    assert capsys.readouterr().out == "Noted."
    with Session.open(backend, ScriptedModel(), swarm, name="ann") as session:
        assert session.run_sync(session.primitives.state(basket).get()) == [Line(**line) for line in lines]
