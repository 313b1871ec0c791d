"""Celery over AMQP: JSON, tasks sent one by one, a worker with the solo pool.

Solo runs tasks in the worker's own process. Its default, a pool of child processes, hands each message over once more
and is for work that takes longer than that. Early acknowledgement and a prefetch of 4 are its defaults.
"""

from typing import Any

from celery import Celery, Task
from celery.exceptions import WorkerShutdown

from benchmarks.peers import Run


def produce(run: Run) -> None:
    """Send each task; with confirms (off by default) each send waits for its own."""
    app = _app(run)
    take = _task(app, _never)
    with app.producer_pool.acquire(block=True) as producer:
        producer.connection.ensure_connection()
    run.ready()
    for body in run.payload.bodies(run.peer.form, run.count):
        take.delay(body)
    run.done()


def consume(run: Run) -> None:
    """Run a worker in this process until all have come."""
    app = _app(run)
    left = run.count

    def handle(message: dict[str, Any]) -> None:
        nonlocal left
        run.payload.read(message)
        left -= 1
        if left == 0:
            run.done()
            raise WorkerShutdown

    _task(app, handle)
    worker = app.Worker(
        pool="solo",
        loglevel="ERROR",
        quiet=True,
        redirect_stdouts=False,
        ready_callback=lambda consumer: run.ready(),
    )
    worker.start()


def _never(message: dict[str, Any]) -> None:
    """Stand for the task in the process that only sends it."""


def _app(run: Run) -> Celery:
    app = Celery("benchmark", broker=run.url)
    app.conf.update(
        task_default_queue="benchmark-celery",
        task_ignore_result=True,
        broker_transport_options={"confirm_publish": run.peer.confirms},
    )
    return app


def _task(app: Celery, handle: Any) -> Task:
    return app.task(handle, name="take")
