"""A checked model. It never changes, so any number of threads may use it while its successor is being checked."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_agent.errors import Invalid
from learning import inference
from learning.samples import Samples, check_samples
from schemas.model import Manifest


@dataclass(frozen=True)
class Answer:
    """For each sample its class's name, the probability of that class, (n,), and the latents; and the version.

    `latents`, (n,), are those of `learning.inference.Outputs`.
    """

    labels: tuple[str, ...]
    confidence: NDArray[np.float32]
    latents: NDArray[np.float32]
    version: int


@dataclass(frozen=True)
class Model:
    """What `edge_agent.update.assemble` returns: parameters that fit their manifest."""

    manifest: Manifest
    parameters: Mapping[str, NDArray[np.float32]]

    def __str__(self) -> str:
        return f"{self.manifest.model}@{self.manifest.version}"

    def predict(self, samples: Samples) -> Answer:
        """Return the likeliest class of each sample.

        Args:
            samples: (n, *shape) of the manifest's shape and dtype, n at least 1.

        Raises:
            Invalid: They are of another shape or dtype, none, or not all finite.

        """
        manifest = self.manifest
        try:
            check_samples(samples, manifest.shape, manifest.dtype)
        except ValueError as error:
            raise Invalid(str(error)) from error
        outputs = inference.forward(manifest.architecture, self.parameters, samples)
        best = outputs.probabilities.argmax(axis=1)  # (n,)
        labels = tuple(manifest.classes[row] for row in best)
        confidence = outputs.probabilities.max(axis=1)  # (n,)
        return Answer(labels, confidence, outputs.latents, manifest.version)

    def describe(self) -> str:
        """Return one line for people: version, classes, size, and what it is made of."""
        manifest = self.manifest
        megabytes = sum(part.size_bytes for part in manifest.parts) / 1e6
        parts = ", ".join(f"{part.name} {part.digest[:12]}" for part in manifest.parts)
        return f"{self} runs: {len(manifest.classes)} classes, {megabytes:.1f} MB, from {parts}"
