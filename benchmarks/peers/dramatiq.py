"""Dramatiq with its RabbitMQ broker: JSON, messages sent one by one, a worker of 8 threads (its default)."""

import threading
from typing import Any

import dramatiq
from dramatiq.brokers.rabbitmq import RabbitmqBroker

from benchmarks.peers import Run

WORKER_THREADS = 8


def produce(run: Run) -> None:
    """Send each message; with confirms (off by default) each send waits for its own."""
    take = _actor(run, _never)
    run.ready()
    for body in run.payload.bodies(run.peer.form, run.count):
        take.send(body)
    run.done()
    take.broker.close()


def consume(run: Run) -> None:
    """Run a worker in this process."""
    left = threading.Semaphore(0)

    def handle(message: dict[str, Any]) -> None:
        run.payload.read(message)
        left.release()

    take = _actor(run, handle)
    worker = dramatiq.Worker(take.broker, worker_threads=WORKER_THREADS)
    worker.start()
    run.ready()
    for _ in range(run.count):
        left.acquire()
    run.done()
    worker.stop()
    take.broker.close()


def _never(message: dict[str, Any]) -> None:
    """Stand for the actor in the process that only sends to it."""


def _actor(run: Run, handle: Any) -> Any:
    broker = RabbitmqBroker(url=run.url, confirm_delivery=run.peer.confirms)
    dramatiq.set_broker(broker)
    return dramatiq.actor(actor_name="take", queue_name="benchmark-dramatiq")(handle)
