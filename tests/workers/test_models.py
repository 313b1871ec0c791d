"""A stored model version, as arrays."""

import numpy as np
import pytest

from store.base import Store
from store.errors import NotFound
from tests.workers.scene import add_version, samples_of, weights_of
from workers.models import load_model


async def test_a_version_is_loaded_with_the_weights_of_all_its_parts(store: Store) -> None:
    await add_version(store, 3)

    model = await load_model(store, "m", 3)

    assert model.version.number == 3
    assert set(model.parameters) == set(weights_of(2))
    assert model.predict(samples_of("bee", 2)).argmax(axis=1).tolist() == [1, 1]


async def test_probabilities_are_float32_rows_that_sum_to_one(store: Store) -> None:
    await add_version(store)

    rows = (await load_model(store, "m", 1)).predict(samples_of("ant", 5))

    assert (rows.shape, rows.dtype) == ((5, 2), np.dtype(np.float32))
    np.testing.assert_allclose(rows.sum(axis=1), 1, rtol=1e-5)


async def test_an_unknown_version_is_not_found(store: Store) -> None:
    with pytest.raises(NotFound, match="m@7"):
        await load_model(store, "m", 7)
