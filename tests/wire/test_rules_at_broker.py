"""Rules that the broker keeps: whatever is lost between asking and writing down, there is one of it afterwards."""

from __future__ import annotations

import pytest

from dragoman.errors import NotSent, OutcomeUnknown, Rejected, StaleData
from dragoman.model import GttLeg, GttRequest, OrderType, Product, Side
from dragoman.model.rules import RuleStatus as S
from dragoman.orders.journal.format import SUFFIX
from dragoman.rules import Level, Oco, StopLoss
from dragoman.runtime.virtual_disk import VirtualFile
from wire.ruled import LONG, hold, move
from wire.test_order_restart import again
from wire.test_rules_restart import Kill
from wire.trading import INFY, play

pytestmark = [pytest.mark.logs]


async def at_broker(client) -> list[str]:
    """Return the triggers that wait at the broker."""
    return [one.gtt_id for one in await client.gtts() if one.status == "ACTIVE"]


def stop_of(price, **more):
    return StopLoss(**LONG, price=price - 20, where="broker", **({"rule_id": "s"} | more))


def dies_before_it_asks(monkeypatch, world) -> None:
    """Kill the process once it has written down what it wants, before a byte of it has left."""

    sync = VirtualFile.sync

    def last(file):
        sync(file)
        if file._path.endswith(SUFFIX):
            monkeypatch.undo()
            Kill.end(world)

    monkeypatch.setattr(VirtualFile, "sync", last)


def arm_and_be_killed(monkeypatch, records):
    """Have the broker keep a rule, be killed at a record; return how many there were, and what the next run has."""

    async def scenario(world):
        price = await hold(world, 100)
        await move(world, 0)
        await world.runtime.sleep(1)
        kill = Kill(monkeypatch, world, records)
        try:
            await world.client.rules.add(stop_of(price))
        except (Rejected, NotSent, OutcomeUnknown):
            assert kill.dead
        if not kill.dead:
            return kill.records, len(await at_broker(world.client)), world.client.rules.get("s").status
        async with again(world) as client:
            await world.runtime.sleep(90)  # longer than anything can be on its way
            known = {rule.rule_id: rule for rule in client.rules.list(everything=True)}
            if "s" in known:
                assert known["s"].broker_id in await at_broker(client)
            return kill.records, len(await at_broker(client)), known["s"].status if known else None

    monkeypatch.undo()
    return play(scenario)


def test_there_is_one_trigger_whichever_record_of_the_journal_was_the_last(monkeypatch):
    records, triggers, status = arm_and_be_killed(monkeypatch, None)
    assert (triggers, status) == (1, S.ARMED)
    assert records == 2, "what is wanted, and what the broker calls it"
    for number in range(records):
        _, triggers, status = arm_and_be_killed(monkeypatch, number)
        expected = (0, None) if number == 0 else (1, S.ARMED)
        assert (triggers, status) == expected, f"killed after {number} of {records} records"


def test_a_rule_that_was_written_down_and_never_sent_is_sent_once_it_cannot_be_on_its_way(monkeypatch):
    async def scenario(world):
        price = await hold(world, 100)
        await move(world, 0)
        await world.runtime.sleep(1)
        dies_before_it_asks(monkeypatch, world)
        with pytest.raises((NotSent, Rejected)):
            await world.client.rules.add(stop_of(price))
        async with again(world) as client:
            await world.until(lambda: client.rules.list())
            await world.runtime.sleep(10)
            assert (client.rules.get("s").status, await at_broker(client)) == (S.SUSPENDED, [])
            await world.until(lambda: client.rules.get("s").status is S.ARMED, 90)
            assert [client.rules.get("s").broker_id] == await at_broker(client)
            await world.runtime.sleep(60)
            return len(await at_broker(client))

    assert play(scenario) == 1


def test_a_request_that_arrives_after_the_restart_is_found():
    async def scenario(world):
        price = await hold(world, 100)
        await move(world, 0)
        world.fault("hold=20s@POST /gtt*1")
        adding = world.runtime.spawn(world.client.rules.add(stop_of(price)), name="add")
        await world.runtime.sleep(1)
        Kill.end(world)
        adding.cancel()
        async with again(world) as client:
            await world.until(lambda: [one.status for one in client.rules.list()] == [S.SUSPENDED])
            await world.runtime.sleep(60)
            assert client.rules.get("s").status is S.ARMED
            assert [client.rules.get("s").broker_id] == await at_broker(client)

    play(scenario)


def test_a_rule_whose_reply_is_lost_is_found_and_not_asked_for_again():
    async def scenario(world):
        price = await hold(world, 100)
        await move(world, 0)
        world.fault("drop_reply@POST /gtt*1")
        with pytest.raises(OutcomeUnknown):
            await world.client.rules.add(stop_of(price))
        await world.until(lambda: world.client.rules.get("s").status is S.ARMED)
        await world.runtime.sleep(120)
        assert [world.client.rules.get("s").broker_id] == await at_broker(world.client)
        await world.client.rules.cancel("s")
        return await at_broker(world.client)

    assert play(scenario) == []


def test_the_second_of_two_that_arrived_after_all_is_withdrawn():
    async def scenario(world):
        price = await hold(world, 100)
        await move(world, 0)
        world.fault("hold=100s@POST /gtt*1")
        with pytest.raises(OutcomeUnknown):
            await world.client.rules.add(stop_of(price))
        await world.until(lambda: world.client.rules.get("s").status is S.ARMED, 90)
        await world.runtime.sleep(120)
        assert [world.client.rules.get("s").broker_id] == await at_broker(world.client)

    play(scenario)


def test_a_trigger_of_somebody_else_that_looks_the_same_is_left_alone(monkeypatch):
    async def scenario(world):
        price = await hold(world, 100)
        await move(world, 0)
        leg = GttLeg(
            trigger_price=price - 20,
            side=Side.SELL,
            quantity=100,
            price=price - 30,
            order_type=OrderType.LIMIT,
            product=Product.INTRADAY,
        )
        mine = await world.client.place_gtt(GttRequest(instrument_id=INFY, last_price=price, legs=(leg,)))
        twin = (await world.client.rules.add(stop_of(price, rule_id="twin"))).broker_id
        Kill(monkeypatch, world, 1)
        with pytest.raises(Rejected):
            await world.client.rules.add(stop_of(price))
        monkeypatch.undo()
        async with again(world) as client:
            await world.until(lambda: {one.rule_id for one in client.rules.list()} == {"twin", "s"})
            await world.until(lambda: client.rules.get("s").broker_id)
            found = client.rules.get("s").broker_id
            assert found not in (mine, twin)
            await client.rules.cancel("s")
            return sorted(await at_broker(client)) == sorted([mine, twin])

    assert play(scenario)


def test_a_rule_in_doubt_can_be_ended_once_it_is_known_where_it_is():
    async def scenario(world):
        rules, price = world.client.rules, await hold(world, 100)
        await move(world, 0)
        world.fault("hold=20s@POST /gtt*1")
        with pytest.raises(OutcomeUnknown):
            await rules.add(stop_of(price), timeout_s=2)
        with pytest.raises(StaleData, match="not known yet"):
            await rules.cancel("s")
        await world.until(lambda: rules.get("s").status is S.ARMED)
        await rules.cancel("s")
        await world.runtime.sleep(120)
        return rules.get("s").status, await at_broker(world.client)

    assert play(scenario) == (S.CANCELED, [])


def test_a_rule_in_doubt_whose_position_is_gone_is_withdrawn_when_it_turns_up():
    async def scenario(world):
        rules, price = world.client.rules, await hold(world, 100)
        await move(world, 0)
        world.fault("hold=20s@POST /gtt*1")
        with pytest.raises(OutcomeUnknown):
            await rules.add(stop_of(price), timeout_s=2)
        await world.client.place(INFY, "SELL", 100, product="INTRADAY")
        await world.runtime.sleep(5)
        assert rules.get("s").status is S.SUSPENDED
        await world.until(lambda: rules.get("s").status.terminal)
        return rules.get("s").status, await at_broker(world.client)

    assert play(scenario) == (S.CANCELED, [])


def test_a_withdrawal_that_fails_is_tried_again_while_its_position_is_gone():
    async def scenario(world):
        rules = world.client.rules
        await hold(world, 100)
        await move(world, 0)
        await rules.add(Oco(**LONG, rule_id="s", stop=Level(ticks=50), target=Level(ticks=50), where="broker"))
        world.fault("http:503@DELETE /gtt*3")
        await world.client.place(INFY, "SELL", 100, product="INTRADAY")
        await world.until(lambda: rules.get("s").status.terminal)
        return rules.get("s").status, await at_broker(world.client)

    assert play(scenario) == (S.CANCELED, [])


def test_a_rule_whose_position_is_gone_and_that_never_arrived_is_over(monkeypatch):
    async def scenario(world):
        price = await hold(world, 100)
        await move(world, 0)
        await world.runtime.sleep(1)
        dies_before_it_asks(monkeypatch, world)
        with pytest.raises((NotSent, Rejected)):
            await world.client.rules.add(stop_of(price))
        async with again(world) as client:
            await move(world, 0)
            await client.place(INFY, "SELL", 100, product="INTRADAY")
            await world.runtime.sleep(90)
            return client.rules.get("s").status, await at_broker(client)

    assert play(scenario) == (S.CANCELED, [])
