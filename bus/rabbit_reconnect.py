"""A connection to RabbitMQ that is tried again after pauses that grow with the time that the broker is away.

Processes lose a broker together. No two of their pauses are alike, so that they do not come back together. Of a cluster
each try takes whichever node answers, in random order, so that the processes spread over those that are left.
"""

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from ssl import SSLContext
from typing import Any

from aio_pika import RobustConnection
from aio_pika.exceptions import AMQPConnectionError
from aiormq.connection import TCPTransportFactory, TLSTransportFactory, TransportFactory
from yarl import URL

SHORTEST_S, LONGEST_S = 0.5, 10.0
CONNECT_S = 10.0  # for one try, whatever becomes of it


@dataclass
class AnyNode(TransportFactory):
    """Opens the socket to any of the nodes of a cluster. One that takes no connection takes its share of CONNECT_S.

    One that takes it and then says nothing costs the whole try; the next begins with any of them.

    Attributes:
        nodes: Their addresses.
        writer: Of the socket that was opened last.

    """

    nodes: Sequence[URL]
    writer: asyncio.StreamWriter | None = None

    async def create(
        self, url: URL, **options: Any
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Return a connection to the first node that takes it, or raise the error of the last one tried."""
        opening = TLSTransportFactory() if url.scheme == "amqps" else TCPTransportFactory()
        failure: Exception = ConnectionError("no node to connect to")
        for node in random.sample(self.nodes, len(self.nodes)):
            try:
                async with asyncio.timeout(CONNECT_S / len(self.nodes)):
                    reader, self.writer = await opening.create(node, **options)
                    return reader, self.writer
            except (AMQPConnectionError, TimeoutError) as error:
                failure = error
        raise failure


class Reconnecting(RobustConnection):
    """The driver's own connection, which asks for a node and an interval for each try.

    Attributes:
        nodes: Addresses of one or more nodes of the same broker, alike but for host and port.
        away_since: When it was lost, by time.monotonic(); None: it is there.

    """

    away_since: float | None = None

    def __init__(self, nodes: Sequence[URL], context: SSLContext | None = None) -> None:
        super().__init__(nodes[0], ssl_context=context)
        self.nodes = nodes
        self._opening = self.kwargs["transport_factory"] = AnyNode(nodes)

    def hang_up(self) -> None:
        """End the socket without a word to its other end."""
        if self._opening.writer is not None:
            self._opening.writer.transport.abort()

    @property
    def reconnect_interval(self) -> float:
        """Return the pause before the next try, in seconds: at most a quarter of the time since the loss."""
        away_s = 0.0 if self.away_since is None else time.monotonic() - self.away_since
        longest_s = min(max(away_s / 4, SHORTEST_S), LONGEST_S)
        return longest_s * random.uniform(0.5, 1)  # noqa: S311  not a secret

    @reconnect_interval.setter
    def reconnect_interval(self, _: float) -> None:
        """Leave it: the driver would set one that does not grow."""
