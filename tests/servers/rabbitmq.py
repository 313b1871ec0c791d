"""A private RabbitMQ node for tests, or a cluster of them: own ports, own data, own epmd, no plug-ins.

epmd (Erlang's name server) outlives a broker and is shared by all nodes of a machine, so there is
one on a port of its own, which ends with the tests. A node counts as started once it answers an
AMQP handshake: its port opens earlier.
"""

import json
import os
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from tests.servers.certificates import NAME, Certificates
from tests.servers.process import ServerMissingError, ServerProcess, free_port, port_is_open

# The script of the same name in sbin changes the user; this one runs as whoever runs the tests.
SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
HOST = "127.0.0.1"
PROTOCOL_HEADER = b"AMQP\x00\x00\x09\x01"
METHOD_FRAME = b"\x01"


class NameServer(ServerProcess):
    """epmd, and the home folder with the cookie: nodes that share both know and trust each other."""

    def __init__(self, home: Path) -> None:
        port = free_port()
        self.environment = _inherited() | {
            "HOME": str(home),  # the cookie is made here
            "ERL_EPMD_ADDRESS": HOST,
            "ERL_EPMD_PORT": str(port),
        }
        super().__init__(
            ["epmd", "-address", HOST, "-port", str(port)],
            home / "epmd.log",
            lambda: port_is_open(port),
            self.environment,
        )


class RabbitNode(ServerProcess):
    """One broker. `kill()` ends the Erlang VM and leaves epmd, as a crash of the broker does.

    With certificates it speaks TLS alone, and only with clients that have one of the same authority.
    At its first start it joins the cluster of the node `member`, which has to run.
    """

    def __init__(
        self,
        directory: Path,
        name_server: NameServer,
        certificates: Certificates | None = None,
        member: str | None = None,
    ) -> None:
        self.port = free_port()
        self.name = f"rdg{self.port}@localhost"
        place = f"amqps://guest:guest@{NAME}" if certificates else f"amqp://guest:guest@{HOST}"
        self.url = f"{place}:{self.port}/"
        environment = name_server.environment | _environment(directory, self.name)
        if certificates:
            listeners = _tls(self.port, certificates)
        else:
            environment["RABBITMQ_NODE_PORT"] = str(self.port)
            listeners = [f"listeners.tcp.1 = {HOST}:{self.port}"]
        _write_configuration(directory, [*listeners, *(_joining(member) if member else [])])
        context = certificates.tls.context() if certificates else None
        super().__init__(
            [SERVER],
            directory / "broker.log",
            lambda: answers_amqp(self.port, context),
            environment,
        )

    def control(self, *arguments: str, tool: str = "rabbitmqctl") -> str:
        """Do what an operator does with rabbitmqctl, or another tool; return what it prints."""
        command = [str(SERVER.with_name(tool)), "--quiet", *arguments]
        done = subprocess.run(
            command, env=self._environment, check=True, capture_output=True, timeout=60, text=True
        )
        return done.stdout


class RabbitCluster:
    """Brokers that are one: each takes any client, and queues have a replica on each."""

    def __init__(self, directory: Path, name_server: NameServer, size: int = 3) -> None:
        first = _node(directory / "1", name_server)
        others = [
            _node(directory / str(number), name_server, first.name) for number in range(2, size + 1)
        ]
        self.nodes = (first, *others)

    def start(self) -> None:
        """Start what does not run; the first alone, for the others have to find it at first."""
        self.nodes[0].start()
        with ThreadPoolExecutor() as pool:
            list(pool.map(RabbitNode.start, self.nodes))

    def close(self) -> None:
        """End all of it at once: nobody will want the data."""
        for node in self.nodes:
            node.kill()

    @property
    def url(self) -> str:
        """One address for all nodes."""
        return f"amqp://guest:guest@{','.join(f'{HOST}:{node.port}' for node in self.nodes)}/"

    def leader_of(self, queue: str) -> RabbitNode:
        """Return the node that takes what is published to a queue or stream."""
        return next(node for node in self.nodes if node.name == self._told(queue)["leader"])

    def replicas_of(self, queue: str) -> set[RabbitNode]:
        """Return the nodes that keep a queue or stream and are up."""
        return {node for node in self.nodes if node.name in self._told(queue)["online"]}

    def server_of_the_only_client(self) -> RabbitNode:
        """Return the node that the one client there is has connected to."""
        (connection,) = self._ask("list_connections", "port")
        return next(node for node in self.nodes if node.port == connection["port"])

    def _told(self, queue: str) -> dict[str, Any]:
        queues = self._ask("list_queues", "name", "leader", "online")
        return next(told for told in queues if told["name"] == queue)

    def _ask(self, *question: str) -> list[dict[str, Any]]:
        node = next(node for node in self.nodes if node.is_running)
        answer: list[dict[str, Any]] = json.loads(node.control(*question, "--formatter", "json"))
        return answer


@contextmanager
def rabbitmq(directory: Path, certificates: Certificates | None = None) -> Iterator[RabbitNode]:
    """Run a node with its data in the directory, which has to exist.

    Raises:
        ServerMissingError: RabbitMQ is not installed.
        ServerStartError: it did not start.
    """
    with _named(directory) as name_server:
        node = RabbitNode(directory, name_server, certificates)
        try:
            node.start()
            yield node
        finally:
            node.stop()


@contextmanager
def rabbitmq_cluster(directory: Path) -> Iterator[RabbitCluster]:
    """Run three nodes with their data in the directory, which has to exist. Raises as rabbitmq does."""
    with (
        _named(directory) as name_server,
        closing(RabbitCluster(directory, name_server)) as cluster,
    ):
        cluster.start()
        yield cluster


def answers_amqp(port: int, context: ssl.SSLContext | None = None) -> bool:
    """Tell whether a broker on the port answers the opening of an AMQP 0-9-1 connection."""
    try:
        with socket.create_connection((HOST, port), timeout=2) as plain:
            connection = context.wrap_socket(plain, server_hostname=NAME) if context else plain
            with connection:
                connection.sendall(PROTOCOL_HEADER)
                return connection.recv(1) == METHOD_FRAME
    except OSError:
        return False


@contextmanager
def _named(home: Path) -> Iterator[NameServer]:
    if not SERVER.exists() or shutil.which("epmd") is None:
        raise ServerMissingError(
            f"RabbitMQ is not installed ({SERVER} is missing): "
            "run `sudo apt-get install rabbitmq-server`"
        )
    name_server = NameServer(home)
    try:
        name_server.start()
        yield name_server
    finally:
        name_server.stop()


def _node(directory: Path, name_server: NameServer, member: str | None = None) -> RabbitNode:
    directory.mkdir()
    return RabbitNode(directory, name_server, member=member)


def _inherited() -> dict[str, str]:
    return {
        name: value
        for name, value in os.environ.items()
        if name != "NOTIFY_SOCKET" and not name.startswith(("RABBITMQ_", "ERL_"))
    }


def _environment(directory: Path, name: str) -> dict[str, str]:
    return {
        "RUNNING_UNDER_SYSTEMD": "true",  # makes the script exec: our child is the Erlang VM
        "RABBITMQ_CONFIG_FILE": str(directory / "rabbitmq.conf"),
        "RABBITMQ_CONF_ENV_FILE": os.devnull,
        "RABBITMQ_DIST_PORT": str(free_port()),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(directory / "enabled_plugins"),
        "RABBITMQ_LOG_BASE": str(directory / "log"),
        "RABBITMQ_LOGS": "-",  # to standard output, hence to broker.log
        "RABBITMQ_MNESIA_BASE": str(directory / "data"),
        "RABBITMQ_NODENAME": name,
        "RABBITMQ_NODE_IP_ADDRESS": HOST,
        "RABBITMQ_PID_FILE": str(directory / "broker.pid"),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
    }


def _joining(member: str) -> list[str]:
    return [
        "cluster_formation.peer_discovery_backend = classic_config",
        f"cluster_formation.classic_config.nodes.1 = {member}",
    ]


def _tls(port: int, certificates: Certificates) -> list[str]:
    return [
        "listeners.tcp = none",
        f"listeners.ssl.1 = {HOST}:{port}",
        f"ssl_options.cacertfile = {certificates.ca}",
        f"ssl_options.certfile = {certificates.server}",
        f"ssl_options.keyfile = {certificates.server}",
        "ssl_options.verify = verify_peer",
        "ssl_options.fail_if_no_peer_cert = true",
    ]


def _write_configuration(directory: Path, lines: list[str]) -> None:
    lines = [*lines, "loopback_users.guest = true"]
    (directory / "rabbitmq.conf").write_text("\n".join(lines) + "\n")
    (directory / "enabled_plugins").write_text("[].\n")
