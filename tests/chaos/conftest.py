"""Both systems of tests/chaos/world.py, started once for all short tests: starting them costs more than a test."""

import secrets
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from pymongo import MongoClient

from tests.chaos.curriculum import Lessons, Size, lessons
from tests.chaos.world import Nodes, World, world
from tests.servers.mongodb import MongoNode
from tests.servers.rabbitmq import RabbitNode

SMALL = Size(epochs=3, generations=2, count=8)


@pytest.fixture(scope="package")
def nodes(rabbit_node: RabbitNode, mongo_node: MongoNode) -> Iterator[Nodes]:
    """The servers of the test run, with a namespace and a database of their own."""
    rabbit_node.start()
    mongo_node.start()
    name = f"c{secrets.token_hex(3)}"
    yield Nodes(rabbit_node, mongo_node, f"rdg_{name}", name)
    mongo_node.start()
    with MongoClient[dict[str, object]](mongo_node.url) as client:
        client.drop_database(f"rdg_{name}")


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def disturbed(nodes: Nodes, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """Both systems, running."""
    async with world(nodes, tmp_path_factory.mktemp("chaos"), replicas=1) as running:
        yield running


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def taught(tmp_path_factory: pytest.TempPathFactory) -> Lessons:
    """Small jobs, and what they come to."""
    return await lessons(tmp_path_factory.mktemp("undisturbed"), SMALL, seeds=1)
