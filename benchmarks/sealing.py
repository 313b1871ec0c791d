"""What it costs to seal message bodies: our bus over RabbitMQ with and without, side by side, and the cipher alone.

The two take turns within a round, as in benchmarks/bus.py; the ratio is the median of the ratios within a round. The
processor time is that of both ends together, so a message is sealed once and opened once in it.
"""

import time
from statistics import median

import typer

from benchmarks.broker import broker as broker_at
from benchmarks.bus import BrokerUrl, Figures, Rounds, Seconds, measured
from benchmarks.payloads import PAYLOADS, SEED
from benchmarks.peers import IN_FLIGHT, PEERS
from benchmarks.report import heading, table
from bus.cipher import KEY_BYTES, Secret

PLAIN, SEALED = "rdg", "rdg-sealed"
COVERED_BYTES = 300  # about what the headers that are covered take
TRIES, AT_A_TIME = 20, 50


def main(
    broker: BrokerUrl = "",
    rounds: Rounds = 5,
    seconds: Seconds = 2,
) -> None:
    """Measure messages a second and microseconds a message, sealed and plain."""
    needed = ("cryptography", "aiormq", "uvloop")
    heading(SEED, needed, rounds=rounds, seconds=seconds, in_flight=IN_FLIGHT)
    peers = [peer for peer in PEERS if peer.name in (PLAIN, SEALED)]
    columns = (
        "message",
        "plain/s",
        "sealed/s",
        "sealed is",
        "CPU us plain",
        "CPU us sealed",
        "seal us",
        "open us",
    )
    rows = []
    with broker_at(broker) as url:
        for name, payload in PAYLOADS.items():
            figures = measured(url, peers, payload, range(-1, rounds), seconds)
            rows.append((name, *_compared(figures), *_alone(payload.body())))
    table("Sealed bodies over RabbitMQ", columns, rows)


def _compared(figures: dict[str, Figures]) -> tuple[object, ...]:
    plain, sealed = figures[PLAIN], figures[SEALED]
    ratio = sealed.over(plain)
    return (
        median(plain.rates),
        median(sealed.rates),
        f"{ratio:.2f}x" if isinstance(ratio, float) else ratio,
        *(median(figure.cpu_us for figure in each.rounds) for each in (plain, sealed)),
    )


def _alone(body: bytes) -> tuple[float, float]:
    """Return the microseconds that sealing and opening one body take: the least of some tries."""
    secret, covered = Secret(bytes(KEY_BYTES)), bytes(COVERED_BYTES)
    sealed = secret.encrypt(body, covered)
    seals, opens = [], []
    for _ in range(TRIES):
        began = time.perf_counter()
        for _ in range(AT_A_TIME):
            secret.encrypt(body, covered)
        between = time.perf_counter()
        for _ in range(AT_A_TIME):
            secret.decrypt(sealed, covered)
        seals.append((between - began) / AT_A_TIME)
        opens.append((time.perf_counter() - between) / AT_A_TIME)
    return min(seals) * 1e6, min(opens) * 1e6


if __name__ == "__main__":
    typer.run(main)
