"""A stored model version, as arrays."""

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from learning.bundle import unpack
from learning.inference import predict
from schemas.documents import ModelVersion
from store.base import Store


@dataclass(frozen=True)
class LoadedModel:
    """A version and its weights."""

    version: ModelVersion
    parameters: dict[str, NDArray[Any]]

    def predict(self, samples: NDArray[Any]) -> NDArray[Any]:
        """Return (n, classes) float32 probabilities; blocks, so call it in a thread."""
        return predict(self.version.architecture, self.parameters, samples)


async def load_model(store: Store, model: str, number: int) -> LoadedModel:
    """Return a version with its weights."""
    version = await store.get(ModelVersion, f"{model}@{number}")
    parameters: dict[str, NDArray[Any]] = {}
    for part in version.parts:
        parameters |= unpack(await store.get_part(part.digest))
    return LoadedModel(version, parameters)
