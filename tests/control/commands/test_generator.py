"""What a person is shown of a fitted generator."""

from store.base import Store
from tests.control.home import Home
from tests.control.world import fitted


def test_each_figure_is_shown_beside_that_of_real_samples(full_home: Home) -> None:
    outcome = full_home.rdg("generator show gmm-j-made-1")

    assert "0.93 (real: 0.95)" in outcome.out
    assert "0.4 (real: 0.5)" in outcome.out
    assert "0.9 (real: 0.05)" in outcome.out


def test_bytes_are_those_of_generator_and_reference(full_home: Home) -> None:
    headings, row = full_home.rdg("generator list").out.splitlines()
    columns = dict(zip(headings.split(), row.split(), strict=False))
    assert columns["BYTES"] == "12"


def test_a_generator_that_memorises_is_warned_of(full_home: Home) -> None:
    assert "memorises" in full_home.rdg("generator show gmm-j-made-1").err


def test_a_generator_of_an_earlier_release_has_no_figures(full_home: Home) -> None:
    async def insert(store: Store) -> None:
        await store.insert(fitted(id="gmm-old", quality=None, reference=None))

    full_home.with_store(insert)
    outcome = full_home.rdg("generator show gmm-old")

    assert outcome.code == 0
    assert "real:" not in outcome.out
    assert "memorises" not in outcome.err
