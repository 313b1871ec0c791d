"""How many messages a second our bus carries over RabbitMQ, next to the bare driver and to other systems.

One producer process, one consumer process, a durable queue, persistent messages, manual acknowledgement; messages of
200 bytes, 25 KB (8 images 28x28 of float32) and 200 KB (256 of uint8). The systems take turns within a round, the
order shifts from round to round, and a system's ratio is the median of its ratios within a round, so that a machine
that slows down slows them all. Trust the ratios, not the absolute figures.

Needs RabbitMQ 3.10 or later installed (a private node is started) or running (--broker), and the distributions of the
systems to compare with; a missing one is reported and passed over. Two free cores; nothing else should run.
"""

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from statistics import median
from typing import Annotated, TextIO, cast

import typer

from benchmarks.broker import broker as broker_at
from benchmarks.payloads import PAYLOADS, SEED, Payload
from benchmarks.peers import IN_FLIGHT, PEERS, Peer
from benchmarks.report import heading, table

CEILINGS = ("aiormq", "aiormq-uvloop")
WARM_UP = 40
LEAST, MOST = 20, 40_000
END_S = 15.0


class Failed(Exception):
    """A system's process ended before its work was done."""


@dataclass(frozen=True)
class Figure:
    """One measurement: messages a second, and microseconds of processor time a message, both ends together."""

    rate: float
    cpu_us: float


@dataclass
class Figures:
    """What one system did with one payload: one figure a round, and why there are no more."""

    rounds: list[Figure] = field(default_factory=list)
    failure: str = ""

    @property
    def rates(self) -> list[float]:
        """Messages a second."""
        return [figure.rate for figure in self.rounds]

    def over(self, other: "Figures") -> float | str:
        """Return the median of the ratios of rates within rounds."""
        if not (self.rounds and other.rounds):
            return "-"
        return median(mine / its for mine, its in zip(self.rates, other.rates, strict=False))


BrokerUrl = Annotated[str, typer.Option(help="amqp://… of a broker; default: a private node.")]
Rounds = Annotated[int, typer.Option(min=1, help="Measured rounds after a warm-up.")]
Seconds = Annotated[float, typer.Option(min=0.1, help="About how long each measurement takes.")]


def main(
    broker: BrokerUrl = "",
    rounds: Rounds = 5,
    seconds: Seconds = 2,
    payload: Annotated[list[str] | None, typer.Option(help=f"Of: {', '.join(PAYLOADS)}.")] = None,
    only: Annotated[
        list[str] | None, typer.Option(help=f"Of: {', '.join(peer.name for peer in PEERS)}.")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="One round of a few messages: does it run?")
    ] = False,
) -> None:
    """Measure messages a second of our bus, bare aiormq, FastStream, Taskiq, Dramatiq and Celery."""
    first = 0 if quick else -1
    rounds = 1 if quick else rounds
    wanted = [peer for peer in PEERS if not only or peer.name in only]
    needed = dict.fromkeys(name for peer in wanted for name in ("aiormq", *peer.needs))
    heading(SEED, needed, rounds=rounds, seconds=seconds, in_flight=IN_FLIGHT)
    if quick:
        print("--quick: the figures show that it runs, and nothing else")
    present = [peer for peer in wanted if not _missing(peer)]
    for peer in wanted:
        if missing := _missing(peer):
            print(f"not measured: {peer.name}, because {missing} is not installed")
    with broker_at(broker) as url:
        for name in payload or PAYLOADS:
            _report(name, measured(url, present, PAYLOADS[name], range(first, rounds), seconds))
    table(
        "Settings",
        ("system", "confirms", "queue", "what was measured"),
        [(p.name, "on" if p.confirms else "off", p.queue_type, p.settings) for p in present],
    )


def measured(
    url: str, peers: Sequence[Peer], payload: Payload, rounds: range, seconds: float
) -> dict[str, Figures]:
    """Measure the peers in turn, round by round; round -1 is the warm-up."""
    figures = {peer.name: Figures() for peer in peers}
    counts = dict.fromkeys(figures, WARM_UP)
    for number in rounds:
        shift = number % len(peers)
        for peer in (*peers[shift:], *peers[:shift]):
            own = figures[peer.name]
            if own.failure:
                continue
            try:
                figure = measure(url, peer, payload, counts[peer.name])
            except Failed as failure:
                own.failure = f"{failure}, see above"
                continue
            counts[peer.name] = min(max(round(figure.rate * seconds), LEAST), MOST)
            if number >= 0:  # else it was the warm-up
                own.rounds.append(figure)
    return figures


def measure(url: str, peer: Peer, payload: Payload, count: int) -> Figure:
    """Publish and handle `count` messages, from the first publish until all are confirmed and handled."""
    with _end(url, peer, "consume", payload, count) as consumer:
        consumer.go()
        with _end(url, peer, "produce", payload, count) as producer:
            began = producer.go()
            (produced, used_s), (consumed, also_used_s) = producer.done(), consumer.done()
    seconds = max(produced, consumed) - began
    return Figure(count / seconds, (used_s + also_used_s) / count * 1e6)


@dataclass(frozen=True)
class _End:
    """One of the two processes, by its pipes."""

    name: str
    to: TextIO
    by: TextIO

    def go(self) -> float:
        """Wait until it is ready, let it work, and return the time."""
        self._line("ready")
        began = time.monotonic()
        print(file=self.to, flush=True)
        return began

    def done(self) -> tuple[float, float]:
        """Wait until it is done; return when that was and the processor seconds used."""
        ended, used_s = self._line("done").split()
        return float(ended), float(used_s)

    def _line(self, word: str) -> str:
        for line in self.by:
            first, _, rest = line.strip().partition(" ")
            if first == word:
                return rest
        raise Failed(f"{self.name} ended early")


@contextmanager
def _end(url: str, peer: Peer, end: str, payload: Payload, count: int) -> Iterator[_End]:
    command = [
        sys.executable,
        "-m",
        "benchmarks.peers",
        peer.name,
        end,
        url,
        payload.name,
        str(count),
    ]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield _End(
                f"{peer.name} {end}", cast(TextIO, process.stdin), cast(TextIO, process.stdout)
            )
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            print(f"{peer.name}: {end} did not end by itself", file=sys.stderr)
        finally:
            process.kill()


def _report(name: str, figures: dict[str, Figures]) -> None:
    ceilings = [figures.get(ceiling, Figures()) for ceiling in CEILINGS]
    columns = (
        "system",
        "messages/s",
        *(f"x {ceiling}" for ceiling in CEILINGS),
        "least",
        "most",
        "CPU us",
    )
    rows = []
    for system, own in figures.items():
        if not own.rounds:
            rows.append((system, *"------"))
            continue
        ratios = [own.over(ceiling) for ceiling in ceilings]
        cpu_us = median(figure.cpu_us for figure in own.rounds)
        rows.append((system, median(own.rates), *ratios, min(own.rates), max(own.rates), cpu_us))
    table(f"{name} messages", columns, rows)
    for system, own in figures.items():
        if own.failure:
            print(f"{system} failed: {own.failure}")


def _missing(peer: Peer) -> str:
    for distribution in peer.needs:
        try:
            version(distribution)
        except PackageNotFoundError:
            return distribution
    return ""


if __name__ == "__main__":
    typer.run(main)
