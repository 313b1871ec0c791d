"""Fixtures that every package's tests share: the real servers, started once when first needed.

A server that is not installed skips its tests on a laptop and fails them in CI, where a skipped
test would pass for a green one.
"""

import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import NoReturn, TypeVar

import pytest
from pymongo import MongoClient

from tests.servers.certificates import Certificates, issue
from tests.servers.mongodb import MongoNode, mongodb
from tests.servers.process import ServerMissingError
from tests.servers.rabbitmq import RabbitCluster, RabbitNode, rabbitmq, rabbitmq_cluster

Server = TypeVar("Server")


@pytest.fixture(scope="session")
def rabbit_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitNode]:
    """The broker of the whole run. A test may kill it and need not start it again."""
    with _server(rabbitmq, tmp_path_factory.mktemp("rabbitmq")) as node:
        yield node


@pytest.fixture(scope="session")
def mongo_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MongoNode]:
    """The database server of the whole run. A test may kill it and need not start it again."""
    with _server(mongodb, tmp_path_factory.mktemp("mongodb")) as node:
        yield node


@pytest.fixture(scope="module")
def started_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitCluster]:
    """Three brokers that are one, for the tests of one file: see `rabbit_cluster`."""
    with _server(rabbitmq_cluster, tmp_path_factory.mktemp("rabbitmq-cluster")) as cluster:
        yield cluster


@pytest.fixture
def rabbit_cluster(started_cluster: RabbitCluster) -> RabbitCluster:
    """Three brokers that are one, all running. A test may kill any and need not start it again."""
    started_cluster.start()
    return started_cluster


@pytest.fixture
def amqp_url(rabbit_node: RabbitNode) -> str:
    """Address of a running broker, which other tests use too: see `bus_prefix`."""
    rabbit_node.start()
    return rabbit_node.url


@pytest.fixture
def bus_prefix() -> str:
    """A name nobody else has, to begin the names of exchanges and queues with."""
    return f"t{secrets.token_hex(3)}"


@pytest.fixture
def mongo_url(mongo_node: MongoNode) -> Iterator[str]:
    """Address of an empty database of a running server; it is dropped after the test."""
    mongo_node.start()
    name = f"rdg_{secrets.token_hex(6)}"
    yield mongo_node.database_url(name)
    mongo_node.start()
    with MongoClient[dict[str, object]](mongo_node.url) as client:
        client.drop_database(name)


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """What the servers with TLS and their clients show each other."""
    return issue(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def amqps_url(
    certificates: Certificates, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Address of a broker that speaks TLS alone and asks for a client's certificate."""
    run = partial(rabbitmq, certificates=certificates)
    with _server(run, tmp_path_factory.mktemp("rabbitmq-tls")) as node:
        yield node.url


@pytest.fixture(scope="session")
def mongo_tls_url(
    certificates: Certificates, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Address of a database of a server that speaks TLS alone and asks for a client's certificate."""
    run = partial(mongodb, certificates=certificates)
    with _server(run, tmp_path_factory.mktemp("mongodb-tls")) as node:
        yield node.database_url("rdg")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real data sets, from RDG_DATA_DIR."""
    folder = os.environ.get("RDG_DATA_DIR")
    if not folder:
        pytest.skip("real data is needed: set RDG_DATA_DIR to the folder of the data sets")
    return Path(folder)


@contextmanager
def _server(
    run: Callable[[Path], AbstractContextManager[Server]], directory: Path
) -> Iterator[Server]:
    try:
        with run(directory) as server:
            yield server
    except ServerMissingError as missing:
        _refuse(str(missing))
    finally:
        shutil.rmtree(directory)


def _refuse(reason: str) -> NoReturn:
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
