"""What the bus benchmark carries: three real messages, and the same content as other systems take it.

A small message is a request for one shard; the other two are shards of 28x28 images, MNIST's size: 8 of them as
float32 and 256 as uint8. Pixels are random, from a fixed seed.
"""

from base64 import b64decode, b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import repeat
from typing import Any, Literal
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from bus.wire import encode
from schemas.flow import GenerationRequested, Order, SamplesGenerated
from schemas.message import JobMessage, derived_id

SEED = 7
PIXELS = (28, 28)
PARENT = UUID(int=SEED)
SHARDS = 1000
Form = Literal["lists", "base64", "bytes"]
"""How a system that has no arrays is given them: JSON lists of numbers, base64 text in JSON, or the body as bytes."""


@dataclass(frozen=True)
class Payload:
    """One size of message.

    Attributes:
        name: As on the command line.
        count: Images; 0 for the message without any.
        dtype: Their type.

    """

    name: str
    count: int
    dtype: str = "uint8"

    @cached_property
    def samples(self) -> NDArray[Any]:
        """The images: float32 in 0..1 or uint8 in 0..255."""
        pixels = np.random.default_rng(SEED).integers(0, 256, (self.count, *PIXELS), dtype=np.uint8)
        return pixels if self.dtype == "uint8" else (pixels / 255).astype(self.dtype)

    @property
    def kind(self) -> type[JobMessage]:
        """The message's class."""
        return SamplesGenerated if self.count else GenerationRequested

    def messages(self, count: int) -> Iterator[JobMessage]:
        """Yield messages with ids derived as those of a stage's outputs."""
        for index in range(count):
            key = derived_id(PARENT, "benchmark", self.kind.topic, index)
            fields: dict[str, Any] = {"id": key, "job": "job-1", "order": _order(index)}
            if self.count:
                fields |= {"samples": self.samples, "certain": 1}
            yield self.kind(**fields)

    def body(self) -> bytes:
        """Return one message's bytes as our bus sends them."""
        return encode(next(self.messages(1)), "benchmark").body

    def fields(self, form: Form) -> dict[str, Any]:
        """Return one message as what JSON can carry."""
        message = next(self.messages(1)).model_dump(mode="python", exclude={"samples"})
        message["id"] = str(message["id"])
        if self.count:
            message["samples"] = self._samples_as(form)
        return message

    def bodies(self, form: Form, count: int) -> Iterator[dict[str, Any]]:
        """Yield messages as JSON can carry them; the images are converted for each, as a publisher has to."""
        for scalars in repeat(self.fields(form), count):
            yield {**scalars, "samples": self._samples_as(form)} if self.count else scalars

    def read(self, fields: dict[str, Any]) -> NDArray[Any] | None:
        """Return the images of a message that came as JSON, as an array, as a consumer has to."""
        samples = fields.get("samples")
        if isinstance(samples, str):
            return np.frombuffer(b64decode(samples), self.dtype).reshape(-1, *PIXELS)
        return None if samples is None else np.asarray(samples, self.dtype)

    def _samples_as(self, form: Form) -> object:
        if form == "lists":
            return self.samples.tolist()
        return b64encode(self.samples.tobytes()).decode("ascii")


PAYLOADS = {
    payload.name: payload
    for payload in (
        Payload("200B", 0),
        Payload("25KB", 8, "float32"),
        Payload("200KB", 256),
    )
}


def _order(shard: int) -> Order:
    return Order(
        shard=shard % SHARDS,
        shards=SHARDS,
        generator="gmm",
        fitted="gmm-digits-3",
        target="seven",
        count=256,
        seed=SEED,
        options={"components": 10, "covariance": "diagonal"},
    )
