"""Arrays as fields of a message: their dtype and dimensions are checked, their values are never walked.

On the wire an array is a msgpack extension of type 1 (docs/formats/wire.md); in JSON Schema it is described by the
keyword `x-rdg-array`, because JSON has no such value.
"""

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import core_schema

MAX_ARRAY_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class ArrayOf:
    """What an array field may hold: one of `dtypes`, between `least` and `most` dimensions."""

    dtypes: tuple[str, ...]
    least: int
    most: int

    def check(self, value: Any) -> NDArray[Any]:
        """Return `value` untouched, or raise ValueError saying what is wrong with it."""
        if not isinstance(value, np.ndarray):
            raise ValueError(f"expected an array, got {type(value).__name__}")
        if value.dtype.name not in self.dtypes:
            raise ValueError(f"dtype {value.dtype} is not one of {', '.join(self.dtypes)}")
        if not self.least <= value.ndim <= self.most:
            raise ValueError(f"{value.ndim} dimensions, expected {self.least} to {self.most}")
        if value.nbytes > MAX_ARRAY_BYTES:
            raise ValueError(f"{value.nbytes} bytes, at most {MAX_ARRAY_BYTES}: use smaller shards")
        return value

    def __get_pydantic_core_schema__(
        self, _source: Any, _handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(self.check)

    def __get_pydantic_json_schema__(
        self, _schema: core_schema.CoreSchema, _handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        limits = {"dtypes": list(self.dtypes), "dimensions": [self.least, self.most]}
        return {"x-rdg-array": limits}


Samples = Annotated[NDArray[Any], ArrayOf(("uint8", "float32"), 2, 4)]
"""(n, height, width), (n, height, width, 3) or (n, features); uint8 is 0..255, float32 is taken as it is."""

Probabilities = Annotated[NDArray[np.float32], ArrayOf(("float32",), 2, 2)]
"""(n, classes): softmax rows of the deployed model, in the order of its class list."""

Scores = Annotated[NDArray[np.float32], ArrayOf(("float32",), 1, 1)]
"""(n,): one figure a sample, in [0, 1]."""
