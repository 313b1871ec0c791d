"""What shards are compared with: the statistics of real data that came with the fit of their class."""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter

from learning.bundle import unpack
from learning.reference import ClassReference, Reference
from schemas.documents import Fitted
from store.base import Store

KEPT = 64


@dataclass(frozen=True)
class References:
    """The reference statistics of fits; those used last are kept."""

    store: Store
    kept: "OrderedDict[str, dict[str, ClassReference]]" = field(default_factory=OrderedDict)

    async def of(self, fitted: str, target: str) -> ClassReference | None:
        """Return what is known of a class; None if the fit kept nothing of it."""
        known = self.kept.get(fitted)
        if known is None:
            known = await self._read(await self.store.get(Fitted, fitted))
            self.kept[fitted] = known
        self.kept.move_to_end(fitted)
        if len(self.kept) > KEPT:
            self.kept.popitem(last=False)
        return known.get(target)

    async def of_each(
        self, fitted: Mapping[str, Sequence[str]]
    ) -> dict[tuple[str, str], ClassReference]:
        """Return what is known of each class by each of its fits, by class and fit."""
        pairs = [(target, key) for target, keys in fitted.items() for key in keys]
        by_fit = sorted(pairs, key=itemgetter(1))  # each is read once, however many there are
        found = {(target, key): await self.of(key, target) for target, key in by_fit}
        return {pair: known for pair, known in found.items() if known is not None}

    async def _read(self, fitted: Fitted) -> dict[str, ClassReference]:
        if fitted.reference is None:
            return {}
        data = await self.store.get_part(fitted.reference.digest)
        return await asyncio.to_thread(_by_class, data, fitted.classes)


def _by_class(data: bytes, classes: tuple[str, ...]) -> dict[str, ClassReference]:
    reference = Reference.from_arrays(unpack(data))
    found = {name: reference.of_class(label) for label, name in enumerate(classes)}
    return {name: known for name, known in found.items() if known is not None}
