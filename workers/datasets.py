"""Real data out of the store, as arrays."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from learning.bundle import unpack
from schemas.documents import Dataset, SamplePart
from store.base import Store
from workers.resources import Refusal


async def read_parts(
    store: Store, parts: Sequence[SamplePart], classes: Sequence[str], array: str = "samples"
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return (n, …) of the parts' array, and (n,) labels: positions in `classes`. Other classes are left out."""
    labels = {name: label for label, name in enumerate(classes)}
    wanted = [part for part in parts if part.target in labels and part.count]
    arrays = [unpack(await store.get_part(part.digest))[array] for part in wanted]
    counts = [labels[part.target] for part in wanted]
    if not wanted:
        raise Refusal(f"no samples of {', '.join(classes)}")
    return np.concatenate(arrays), np.repeat(counts, [len(each) for each in arrays])


async def read_dataset(
    store: Store, name: str, classes: Sequence[str], split: Literal["train", "test"] = "train"
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return a split's samples of these classes; see `read_parts`."""
    dataset = await store.get(Dataset, name)
    return await read_parts(store, getattr(dataset, split), classes)
