"""Gates and tallies, on every engine: a member counts once and an amount each time, whoever comes at once."""

import asyncio

import pytest

from store.base import Arrivals, Store
from tests.store.documents import AWKWARD

# Gates


async def test_gate_completes_with_the_last_member_in_the_order_of_members(store: Store) -> None:
    assert await store.arrive("g", 2, "c", 3) == Arrivals(1, None)
    assert await store.arrive("g", 0, "a", 3) == Arrivals(2, None)
    assert await store.arrive("g", 1, "b", 3) == Arrivals(3, ["a", "b", "c"])


async def test_repeated_member_keeps_its_first_value_and_learns_how_things_stand(
    store: Store,
) -> None:
    await store.arrive("g", 0, "first", 2)
    assert await store.arrive("g", 0, "second", 2) == Arrivals(1, None, earlier="first")
    assert await store.arrive("g", 1, "b", 2) == Arrivals(2, ["first", "b"])
    assert await store.arrive("g", 0, "third", 2) == Arrivals(2, ["first", "b"], earlier="first")


async def test_members_are_ordered_by_number(store: Store) -> None:
    for member in range(11):
        await store.arrive("g", member, str(member), 12)
    last = await store.arrive("g", 11, "11", 12)
    assert last.values == [str(member) for member in range(12)]


@pytest.mark.parametrize("value", ["$values", "", *AWKWARD])
async def test_value_of_a_member_is_taken_literally(store: Store, value: str) -> None:
    assert await store.arrive("g", 0, value, 1) == Arrivals(1, [value])


async def test_a_gate_tells_who_is_in(store: Store) -> None:
    assert await store.arrived("g") == set()
    for member in (2, 0, 2):
        await store.arrive("g", member, "x", 3)
    await store.arrive("other", 1, "y", 2)
    assert await store.arrived("g") == {0, 2}


async def test_closed_gate_is_forgotten(store: Store) -> None:
    await store.arrive("g", 0, "a", 1)
    await store.arrive("other", 0, "b", 2)
    await store.close_gate("g")
    await store.close_gate("g")
    assert await store.arrive("g", 0, "z", 1) == Arrivals(1, ["z"])
    assert await store.arrive("other", 1, "c", 2) == Arrivals(2, ["b", "c"])


@pytest.mark.parametrize("member", [-1, 3])
async def test_member_that_is_not_expected_is_refused(store: Store, member: int) -> None:
    with pytest.raises(ValueError, match=f"member: {member} is not in 0..2"):
        await store.arrive("g", member, "x", 3)


async def test_concurrent_arrivals_agree(store: Store, other_store: Store) -> None:
    """50 members come three times each, with other values, over two connections."""
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(connection.arrive("g", member, f"{member}.{turn}", 50))
            for turn, connection in enumerate([store, other_store, store])
            for member in range(50)
        ]
    answers = [task.result() for task in tasks]
    final = await store.arrive("g", 0, "late", 50)
    complete = [answer.values for answer in answers if answer.values]
    assert final.values is not None
    assert sum(answer.earlier is None for answer in answers) == 50, "each is first once"
    assert final.earlier == final.values[0]
    assert [value.partition(".")[0] for value in final.values] == [str(n) for n in range(50)]
    assert complete
    assert all(values == final.values for values in complete)
    assert {answer.count for answer in answers} <= set(range(1, 51))
    assert all((answer.count == 50) == bool(answer.values) for answer in answers)


# Tallies


async def test_tally_adds_up(store: Store) -> None:
    assert await store.tallies("j") == {}
    await store.tally("j", {"generation.seconds": 1.5, "bytes": 10})
    await store.tally("j", {"generation.seconds": 0.25})
    await store.tally("j", {})
    await store.tally("other", {"bytes": 1})
    assert await store.tallies("j") == {"generation.seconds": 1.75, "bytes": 10.0}


async def test_concurrent_tallies_are_all_counted(store: Store, other_store: Store) -> None:
    async with asyncio.TaskGroup() as group:
        for connection in [store, other_store] * 25:
            group.create_task(connection.tally("j", {"a": 1, "b.c": 2}))
    assert await store.tallies("j") == {"a": 50.0, "b.c": 100.0}


async def test_tally_takes_any_name(store: Store) -> None:
    amounts = {name: float(number) for number, name in enumerate(AWKWARD, start=1)}
    await store.tally("j", amounts)
    assert await store.tallies("j") == amounts


@pytest.mark.parametrize("amount", [float("nan"), float("inf")])
async def test_amount_that_would_spoil_a_sum_is_refused(store: Store, amount: float) -> None:
    with pytest.raises(ValueError, match=r"a\.b: (nan|inf) cannot be added"):
        await store.tally("j", {"a.b": amount})
