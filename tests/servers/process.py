"""A real server as a child of the test run.

Rules: a server has its own session, so that Ctrl-C in a terminal reaches the tests and not the
server. It dies with the test run, however the run ends. It is started once it answers a real
request, not once its port opens. A server that does not start says why.
"""

import random
import socket
import subprocess
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

STARTUP_SECONDS = 60.0
SHUTDOWN_SECONDS = 20.0
PROBE_SECONDS = 0.1

# Below the range from which the kernel takes the ports of outgoing connections (32768 on Linux):
# a client that retries while the server is down could otherwise be given the server's own port.
_PORTS = range(15_000, 32_000)
# hypothesis seeds the global generator, and two runs on one machine would choose the same ports.
_RANDOM = random.SystemRandom()
_given: set[int] = set()  # a port may be asked for long before its server is started
# The kernel's "die with the parent" means the thread that forked, so that thread has to last.
_SPAWNER = ThreadPoolExecutor(max_workers=1, thread_name_prefix="server-spawner")


class ServerMissingError(Exception):
    """The server's program is not installed; the message says how to install it."""


class ServerStartError(Exception):
    """The server ended, or did not answer in time; the message carries the end of its log."""


class ServerProcess:
    """One server process that may be killed and started again on the same data.

    Every method may be called from any thread, but not from two at once.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        log: Path,
        answers: Callable[[], bool],
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._command = ["setpriv", "--pdeathsig", "KILL", "--", *map(str, command)]
        self._log = log
        self._answers = answers
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Process id of the server itself, not of a wrapper script."""
        if self._process is None:
            raise RuntimeError("the server has no pid before start()")
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the process lives; it may still be starting."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start and wait until the server answers; a running server is left as it is.

        Raises:
            ServerStartError: the process ended, or gave no answer within STARTUP_SECONDS; what
                is left of it ends with `stop`.
        """
        if self.is_running:
            return
        self._process = _SPAWNER.submit(self._spawn).result()
        self._wait_for_answer()

    def kill(self) -> None:
        """End the server at once with SIGKILL, as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self) -> None:
        """End the server in good order with SIGTERM, or by `kill` after SHUTDOWN_SECONDS."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(SHUTDOWN_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()

    def log_tail(self, lines: int = 30) -> str:
        """Return the end of what the server wrote since its first start."""
        with self._log.open(errors="replace") as log:
            return "".join(deque(log, maxlen=lines))

    def _spawn(self) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            return subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment,
                start_new_session=True,
            )

    def _wait_for_answer(self) -> None:
        deadline = time.monotonic() + STARTUP_SECONDS
        while not self._answers():
            if not self.is_running:
                raise ServerStartError(f"the server ended while starting:\n{self.log_tail()}")
            if time.monotonic() > deadline:
                raise ServerStartError(
                    f"no answer within {STARTUP_SECONDS:.0f} s of starting:\n{self.log_tail()}"
                )
            time.sleep(PROBE_SECONDS)


def free_port() -> int:
    """Return a port of 127.0.0.1 on which nothing listens, another each time."""
    while True:
        port = _RANDOM.choice(_PORTS)
        if port in _given:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            _given.add(port)
            return port


def port_is_open(port: int) -> bool:
    """Tell whether something on 127.0.0.1 accepts connections on the port."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
