import pytest

from control.verbs import models
from control.verbs.errors import Invalid
from store.base import Store
from store.errors import NotFound
from tests.control.world import version


async def test_a_model_is_shown_with_all_its_versions(history: Store) -> None:
    detail = await models.show(history, "digits")
    assert [each.number for each in detail.versions] == [3, 2, 1]
    assert detail.released == 3


async def test_a_name_means_the_released_version(history: Store) -> None:
    await history.insert(version(4, status="candidate"))
    assert (await models.version(history, "digits")).number == 3
    assert (await models.version(history, "digits@2")).number == 2


async def test_without_a_release_a_name_means_the_newest_version(store: Store) -> None:
    await store.insert(version(1, status="candidate"))
    assert (await models.version(store, "digits")).number == 1


@pytest.mark.parametrize("reference", ["digits@x", "digits@-1", "digits@1.5", "digits@"])
async def test_a_bad_reference_says_how_to_write_one(history: Store, reference: str) -> None:
    with pytest.raises(Invalid, match="digits@3"):
        await models.version(history, reference)


async def test_lineage_goes_back_to_the_first_version(history: Store) -> None:
    line = await models.lineage(history, "digits")
    assert [each.id for each in line] == ["digits@3", "digits@1"]


@pytest.mark.parametrize("reference", ["nope", "digits@9"])
async def test_what_is_not_there_is_not_found(history: Store, reference: str) -> None:
    with pytest.raises(NotFound):
        await models.version(history, reference)
