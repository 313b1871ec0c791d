"""What is told of a finished job."""

from control.results import result_of
from schemas.model import Scores
from store.base import Store
from tests.control.world import OLD, fitted, job, version


async def test_all_that_is_kept_of_a_class_counts_and_each_fit_once(world: Store) -> None:
    await world.insert(fitted(id="gmm-j-made-2", data="night", size_bytes=20, reference=None))
    per_class = dict.fromkeys(OLD, 0.9)
    scores = Scores(measured_on="digits", accuracy=0.9, per_class=per_class)
    await world.insert(version(2, scores=scores))
    fits = {"0": ("gmm-j-made-1", "gmm-j-made-2"), "1": ("gmm-j-made-1",)}

    result = await result_of(
        world, "both looks", job("completed", result="digits@2", fitted=fits), OLD
    )

    assert result.kept == ((8 + 4) + 20) / len(OLD)
