"""A private RabbitMQ node for tests: own port, own data, own epmd, no plug-ins.

epmd (Erlang's name server) outlives a broker and is shared by all nodes of a machine, so the node
gets one of its own, on its own port, which ends with it. The node counts as started once it answers
an AMQP handshake: its port opens earlier.
"""

import os
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers.certificates import NAME, Certificates
from tests.servers.process import ServerMissingError, ServerProcess, free_port, port_is_open

# The script of the same name in sbin changes the user; this one runs as whoever runs the tests.
SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
CONTROL = SERVER.with_name("rabbitmqctl")
HOST = "127.0.0.1"
PROTOCOL_HEADER = b"AMQP\x00\x00\x09\x01"
METHOD_FRAME = b"\x01"


class RabbitNode(ServerProcess):
    """One broker. `kill()` ends the Erlang VM and leaves epmd, as a crash of the broker does.

    With certificates it speaks TLS alone, and only with clients that have one of the same authority.
    """

    def __init__(self, directory: Path, certificates: Certificates | None = None) -> None:
        self.port = free_port()
        place = f"amqps://guest:guest@{NAME}" if certificates else f"amqp://guest:guest@{HOST}"
        self.url = f"{place}:{self.port}/"
        epmd_port = free_port()
        environment = _environment(directory, self.port, epmd_port)
        if certificates:
            _write_configuration(directory, _tls(self.port, certificates))
        else:
            environment["RABBITMQ_NODE_PORT"] = str(self.port)
            _write_configuration(directory, [f"listeners.tcp.1 = {HOST}:{self.port}"])
        context = certificates.tls.context() if certificates else None
        self._name_server = ServerProcess(
            ["epmd", "-address", HOST, "-port", str(epmd_port)],
            directory / "epmd.log",
            lambda: port_is_open(epmd_port),
            environment,
        )
        super().__init__(
            [SERVER],
            directory / "broker.log",
            lambda: answers_amqp(self.port, context),
            environment,
        )

    def start(self) -> None:
        """Start epmd, then the broker; what already runs is left as it is."""
        self._name_server.start()
        super().start()

    def control(self, *arguments: str) -> None:
        """Do what an operator does with rabbitmqctl."""
        command = [str(CONTROL), *arguments]
        subprocess.run(command, env=self._environment, check=True, capture_output=True, timeout=60)

    def stop(self) -> None:
        """End the broker in good order, then epmd: no process is left."""
        super().stop()
        self._name_server.stop()


@contextmanager
def rabbitmq(directory: Path, certificates: Certificates | None = None) -> Iterator[RabbitNode]:
    """Run a node with its data in the directory, which has to exist.

    Raises:
        ServerMissingError: RabbitMQ is not installed.
        ServerStartError: it did not start.
    """
    if not SERVER.exists() or shutil.which("epmd") is None:
        raise ServerMissingError(
            f"RabbitMQ is not installed ({SERVER} is missing): "
            "run `sudo apt-get install rabbitmq-server`"
        )
    node = RabbitNode(directory, certificates)
    try:
        node.start()
        yield node
    finally:
        node.stop()


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


def _environment(directory: Path, port: int, epmd_port: int) -> dict[str, str]:
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name != "NOTIFY_SOCKET" and not name.startswith(("RABBITMQ_", "ERL_"))
    }
    return inherited | {
        "HOME": str(directory),  # the cookie is made here
        "ERL_EPMD_ADDRESS": HOST,
        "ERL_EPMD_PORT": str(epmd_port),
        "RUNNING_UNDER_SYSTEMD": "true",  # makes the script exec: our child is the Erlang VM
        "RABBITMQ_CONFIG_FILE": str(directory / "rabbitmq.conf"),
        "RABBITMQ_CONF_ENV_FILE": os.devnull,
        "RABBITMQ_DIST_PORT": str(free_port()),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(directory / "enabled_plugins"),
        "RABBITMQ_LOG_BASE": str(directory / "log"),
        "RABBITMQ_LOGS": "-",  # to standard output, hence to broker.log
        "RABBITMQ_MNESIA_BASE": str(directory / "data"),
        "RABBITMQ_NODENAME": f"rdg{port}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": HOST,
        "RABBITMQ_PID_FILE": str(directory / "broker.pid"),
    }


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


def _write_configuration(directory: Path, listeners: list[str]) -> None:
    lines = [*listeners, "loopback_users.guest = true"]
    (directory / "rabbitmq.conf").write_text("\n".join(lines) + "\n")
    (directory / "enabled_plugins").write_text("[].\n")
