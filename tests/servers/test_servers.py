"""The real servers keep what they confirmed through kill -9, and leave no process behind."""

import asyncio
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path

import aio_pika
import psutil
import pytest
from pymongo import MongoClient

from tests.servers.mongodb import MongoNode, mongodb
from tests.servers.process import ServerProcess, ServerStartError
from tests.servers.rabbitmq import RabbitNode, rabbitmq

END_SECONDS = 5
# A stand-in for a server: its one line tells that the program itself runs.
SLEEPER = ["sh", "-c", "echo awake; exec sleep 600"]


@pytest.mark.rabbit
async def test_confirmed_message_survives_kill_of_the_broker(
    rabbit_node: RabbitNode, amqp_url: str, bus_prefix: str
) -> None:
    queue_name = f"{bus_prefix}.orders"
    await publish_durable(amqp_url, queue_name, b"keep me")
    first_pid = rabbit_node.pid

    rabbit_node.kill()
    assert not psutil.pid_exists(first_pid)
    await asyncio.to_thread(rabbit_node.start)

    assert rabbit_node.pid != first_pid
    assert await take_one(amqp_url, queue_name) == b"keep me"


@pytest.mark.mongo
def test_inserted_document_survives_kill_of_the_server(
    mongo_node: MongoNode, mongo_url: str
) -> None:
    with MongoClient[dict[str, object]](mongo_url) as client:
        client.get_default_database().jobs.insert_one({"_id": "job-1", "state": "running"})
    first_pid = mongo_node.pid

    mongo_node.kill()
    assert not psutil.pid_exists(first_pid)
    mongo_node.start()

    assert mongo_node.pid != first_pid
    with MongoClient[dict[str, object]](mongo_url) as client:
        stored = client.get_default_database().jobs.find_one({"_id": "job-1"})
    assert stored == {"_id": "job-1", "state": "running"}


@pytest.mark.mongo
def test_replica_set_gives_transactions(mongo_url: str) -> None:
    with MongoClient[dict[str, object]](mongo_url) as client, client.start_session() as session:
        jobs = client.get_default_database().jobs
        with session.start_transaction():
            jobs.insert_one({"_id": "undone"}, session=session)
            session.abort_transaction()
        assert jobs.count_documents({}) == 0


@pytest.mark.rabbit
def test_stopped_broker_leaves_no_process_not_even_epmd(
    rabbit_node: RabbitNode, tmp_path: Path
) -> None:
    with rabbitmq(tmp_path) as node:
        running = processes_of(tmp_path)
    assert {"epmd", "beam.smp"} <= set(running.values())
    assert node.pid in running
    assert lasting(running) == {}
    assert rabbit_node.is_running


@pytest.mark.mongo
def test_stopped_mongod_leaves_no_process(tmp_path: Path) -> None:
    with mongodb(tmp_path) as node:
        running = processes_of(tmp_path)
    assert running == {node.pid: "mongod"}
    assert lasting(running) == {}


def test_server_that_ends_while_starting_shows_its_log(tmp_path: Path) -> None:
    server = ServerProcess(
        ["sh", "-c", "echo disk is full; exit 3"], tmp_path / "log", lambda: False
    )
    with pytest.raises(ServerStartError, match="disk is full"):
        server.start()


def test_running_server_is_not_started_twice(sleeper: ServerProcess) -> None:
    sleeper.start()
    first_pid = sleeper.pid
    sleeper.start()
    assert sleeper.pid == first_pid


def test_server_outlives_the_thread_that_started_it(sleeper: ServerProcess) -> None:
    thread = threading.Thread(target=sleeper.start)
    thread.start()
    thread.join()
    with pytest.raises(psutil.TimeoutExpired):
        psutil.Process(sleeper.pid).wait(timeout=0.5)


def test_server_dies_with_a_killed_test_run(tmp_path: Path) -> None:
    script = f"""
        import sys, time
        from pathlib import Path
        from tests.servers.process import ServerProcess
        log = Path({str(tmp_path / "log")!r})
        server = ServerProcess({SLEEPER}, log, lambda: "awake" in log.read_text())
        server.start()
        print(server.pid, flush=True)
        sys.stdin.read()
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    ) as run:
        assert run.stdout is not None
        server = psutil.Process(int(run.stdout.readline()))
        run.kill()
    assert lasting({server.pid: "sleep"}) == {}


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[ServerProcess]:
    log = tmp_path / "log"
    server = ServerProcess(SLEEPER, log, lambda: "awake" in log.read_text())
    yield server
    server.kill()


async def publish_durable(url: str, queue_name: str, body: bytes) -> None:
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        await channel.declare_queue(queue_name, durable=True)
        message = aio_pika.Message(body, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
        await channel.default_exchange.publish(message, routing_key=queue_name)


async def take_one(url: str, queue_name: str) -> bytes:
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(queue_name, durable=True)
        async with asyncio.timeout(60):
            while (message := await queue.get(fail=False)) is None:  # noqa: ASYNC110  no event tells
                await asyncio.sleep(0.1)  # a queue that was just recovered may read as empty
        await message.ack()
        await queue.delete()
        return message.body


def processes_of(directory: Path) -> dict[int, str]:
    """Processes that were told of the directory, by argument or environment: pid to name."""
    return {
        process.pid: process.info["name"]
        for process in psutil.process_iter(["name", "cmdline", "environ"])
        if str(directory) in repr(process.info)
    }


def lasting(processes: dict[int, str]) -> dict[int, str]:
    """Those of the processes that have not ended within END_SECONDS."""
    started = [process for process in psutil.process_iter() if process.pid in processes]
    _, alive = psutil.wait_procs(started, timeout=END_SECONDS)
    return {
        process.pid: processes[process.pid]
        for process in alive
        if process.status() != psutil.STATUS_ZOMBIE  # ended; init has not looked yet
    }
