"""The servers that a benchmark needs: a private RabbitMQ node, or one that runs already."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers.mongodb import mongodb
from tests.servers.rabbitmq import rabbitmq


@contextmanager
def broker(url: str = "") -> Iterator[str]:
    """Yield the URL of a broker: the one given, or that of a node that ends with the context.

    Raises:
        ServerMissingError: None was given and RabbitMQ is not installed.

    """
    if url:
        yield url
        return
    with tempfile.TemporaryDirectory() as folder, rabbitmq(Path(folder)) as node:
        yield node.url


@contextmanager
def database(url: str = "") -> Iterator[str]:
    """Yield the URL of a MongoDB database: the one given, or one on a server that ends with the context.

    Raises:
        ServerMissingError: None was given and mongod is not installed.

    """
    if url:
        yield url
        return
    with tempfile.TemporaryDirectory() as folder, mongodb(Path(folder)) as node:
        yield node.database_url("benchmark")
