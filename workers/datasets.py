"""Real data out of the store, as arrays.

A job names its data sets, and planning pins what they hold: whoever reads one later reads the same or refuses.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learning.bundle import unpack
from schemas.documents import Dataset, Job, SamplePart
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


async def pin(store: Store, job: Job) -> dict[str, str]:
    """Return what each of the job's data sets holds, as its fingerprint; NotFound if one is not there."""
    return {name: (await store.get(Dataset, name)).fingerprint for name in job.spec.data_sets}


async def pinned(store: Store, job: Job, name: str) -> Dataset:
    """Return a data set of the job's, which has to be what it was when the job was planned.

    Raises:
        NotFound: It was deleted.
        Refusal: Other data has its name now.

    """
    dataset = await store.get(Dataset, name)
    if job.data.get(name, dataset.fingerprint) != dataset.fingerprint:
        raise Refusal(
            f"{name}: other data was added under this name since the job was planned; "
            f"`rdg job retry {job.id}` begins anew with it"
        )
    return dataset
