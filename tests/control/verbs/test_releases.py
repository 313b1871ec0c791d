import pytest

from control.verbs import releases
from control.verbs.errors import Invalid, Refused
from store.base import Store


async def test_releases_leave_out_what_never_went_out(history: Store) -> None:
    found = await releases.page(history, model="digits")
    assert [(each.version.number, each.is_current) for each in found] == [(3, True), (1, False)]


async def test_a_page_of_releases_is_full_whatever_lies_between(history: Store) -> None:
    [first] = await releases.page(history, 1)
    [second] = await releases.page(history, 1, first.version.id)
    assert (first.version.number, second.version.number) == (3, 1)
    assert await releases.page(history, 1, second.version.id) == []


async def test_a_version_that_was_not_released_is_no_release(history: Store) -> None:
    with pytest.raises(Refused, match="digits@2 is refused"):
        await releases.show(history, "digits@2")
    assert (await releases.show(history, "digits")).is_current


async def test_a_page_of_no_releases_cannot_be_asked_for(history: Store) -> None:
    with pytest.raises(Invalid, match="limit"):
        await releases.page(history, 0)
