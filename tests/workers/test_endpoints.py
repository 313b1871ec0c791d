"""What HTTP tells of a process, asked over real connections; and of real processes that lose their servers."""

import asyncio
import re
import signal
import socket
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import httpx
import pytest
from pydantic import SecretStr

from bus.bus import Bus
from bus.local import serve
from bus.memory import MemoryTransport
from bus.transport import Envelope, Queue
from schemas.flow import DeviceReported
from schemas.settings import Settings
from store.base import Store
from tests.bus.inbox import until, until_dead
from tests.servers.rabbitmq import RabbitNode
from tests.workers.outside import started
from workers import metrics
from workers.endpoints import MAX_CONNECTIONS, OFF, serving
from workers.health import Attendance, Health
from workers.pipeline import PIPELINE
from workers.resources import code_version

PATHS = ("/livez", "/healthz", "/readyz", "/metrics", "/version")
SECRET = "correct-horse-battery"
TOKEN = SecretStr(SECRET)
FLEET = "fleet.device.reported.v1"


class Away:
    is_active = False


@asynccontextmanager
async def served(
    health: Health | None = None, place: str = "127.0.0.1:0", token: SecretStr | None = None
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of endpoints that are served here."""
    settings = Settings(health=place, health_token=token)
    async with (
        serving(settings, health or Health(PIPELINE, asyncio.Event())) as address,
        httpx.AsyncClient(base_url=address) as client,
    ):
        yield client


async def refusal(place: str) -> str:
    with pytest.raises(ValueError, match="RDG_HEALTH") as caught:
        async with served(place=place):
            pass
    return str(caught.value)


async def test_a_process_that_starts_is_alive_and_not_ready() -> None:
    async with served() as client:
        alive, alias, ready = [await client.get(path) for path in PATHS[:3]]

    assert (alive.status_code, alive.text) == (200, "ok\n")
    assert (alias.status_code, alias.text) == (200, "ok\n")
    assert (ready.status_code, ready.json()) == (503, {"ready": False, "missing": ["starting"]})


async def test_the_version_is_told_with_the_stages() -> None:
    async with served() as client:
        told = (await client.get("/version")).json()

    assert told["version"] == code_version()
    assert told["stages"] == list(PIPELINE)


async def test_metrics_are_prometheus_text() -> None:
    async with served() as client:
        answer = await client.get("/metrics")

    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert f'rdg_build_info{{version="{code_version()}"}} 1.0\n' in answer.text
    assert "\nprocess_resident_memory_bytes " in answer.text
    assert "_created" not in answer.text


async def test_how_late_the_event_loop_is_is_measured_while_it_serves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(metrics, "LAG_EVERY_S", 0.01)
    health = Health((), asyncio.Event())

    async with asyncio.timeout(60), served(health):
        lag = health.metrics.registry.get_sample_value
        await until(lambda: bool(lag("rdg_loop_lag_seconds_count")))


async def test_nothing_is_served_when_off() -> None:
    async with serving(Settings(health=OFF), Health((), asyncio.Event())) as address:
        assert address == OFF


async def test_a_token_is_wanted_for_everything() -> None:
    async with served(token=TOKEN) as client:
        for headers in (
            {},
            {"Authorization": "Bearer wrong"},
            {"Authorization": f"Basic {SECRET}"},
        ):
            answers = [await client.get(path, headers=headers) for path in PATHS]
            assert {answer.status_code for answer in answers} == {401}
            assert {answer.headers["WWW-Authenticate"] for answer in answers} == {"Bearer"}

        given = {"Authorization": f"Bearer {SECRET}"}
        assert [(await client.get(path, headers=given)).status_code for path in PATHS] == [
            503 if path == "/readyz" else 200 for path in PATHS
        ]


async def test_a_token_that_is_no_ascii_is_only_wrong() -> None:
    async with served(token=TOKEN) as client:
        headers = [(b"Authorization", "Bearer bäd".encode())]

        assert (await client.get("/livez", headers=headers)).status_code == 401


@pytest.mark.parametrize("place", ["0.0.0.0:0", "[::]:0"])
async def test_nothing_is_open_to_other_machines_without_a_token(place: str) -> None:
    assert await refusal(place) == (
        f"RDG_HEALTH: {place} is open to other machines; set RDG_HEALTH_TOKEN, or use 127.0.0.1"
    )


async def test_with_a_token_it_may_be_open() -> None:
    async with served(place="0.0.0.0:0", token=TOKEN) as client:
        assert (await client.get("/livez")).status_code == 401


@pytest.mark.parametrize(
    "place", ["", "on", "9400", ":9400", "127.0.0.1", "127.0.0.1:", "h:70000", "u@h:1", "h:1/x"]
)
async def test_a_place_that_is_none_is_refused(place: str) -> None:
    assert await refusal(place) == (
        f"RDG_HEALTH: {place!r} is not host:port like 127.0.0.1:0, nor off"
    )


async def test_a_port_that_is_taken_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        place = f"127.0.0.1:{other.getsockname()[1]}"

        assert re.fullmatch(
            rf"RDG_HEALTH: cannot listen at {place} \(.+\); choose a free port.*",
            await refusal(place),
        )


async def test_the_port_is_free_again_afterwards() -> None:
    async with served() as client:
        await client.get("/livez")  # over a connection that is kept open
        place = f"127.0.0.1:{client.base_url.port}"

    async with served(place=place) as client:
        assert (await client.get("/livez")).status_code == 200


async def test_connections_that_ask_for_nothing_keep_nobody_out() -> None:
    async with served() as client, AsyncExitStack() as idle:
        place = str(client.base_url.host), int(client.base_url.port or 0)
        readers = []
        for _ in range(MAX_CONNECTIONS + 1):
            reader, writer = await asyncio.open_connection(*place)
            idle.callback(writer.close)
            readers.append(reader)

        alive = await client.get("/livez")
        async with asyncio.timeout(60):
            with suppress(ConnectionResetError):
                assert await readers[0].read() == b"", "the oldest made room"

        assert not readers[-1].at_eof()

    assert alive.status_code == 200


async def test_a_process_whose_loop_is_blocked_is_not_alive() -> None:
    async with served() as client:
        url = str(client.base_url.join("/livez"))
        assert (await asyncio.to_thread(httpx.get, url)).status_code == 200

        with ThreadPoolExecutor(1) as pool:
            asking = pool.submit(_outcome, url, 0.5)
            outcome = asking.result(timeout=60)  # blocks the event loop
        again = await asyncio.to_thread(_outcome, url, 60)

    assert (outcome, again) == ("ReadTimeout", "200")


def _outcome(url: str, timeout_s: float) -> str:
    try:
        return str(httpx.get(url, timeout=timeout_s).status_code)
    except httpx.TransportError as error:
        return type(error).__name__


async def test_a_process_that_lost_a_consumer_is_alive_and_not_ready(store: Store) -> None:
    health = Health(["fleet"], asyncio.Event())
    lost = Attendance(MemoryTransport(), store, (), {Queue(FLEET, "device.reported.v1"): Away()})

    async with served(health) as client, health.attending(lost):
        alive, ready = await client.get("/livez"), await client.get("/readyz")
        metrics = (await client.get("/metrics")).text

    assert alive.status_code == 200
    assert ready.status_code == 503
    assert ready.json()["missing"] == [f"the consumer of {FLEET} is gone and being put back"]
    assert "\nrdg_ready 0.0\n" in metrics
    assert f'\nrdg_consumer_active{{queue="{FLEET}"}} 0.0\n' in metrics


async def test_a_worker_tells_of_its_bus_before_with_and_without_it(tmp_path: Path) -> None:
    path = tmp_path / "bus.sock"

    async with started("fleet", RDG_BUS=f"unix://{path}") as worker:
        await worker.becomes("/livez", 200)
        said = await worker.says("trying again")
        waiting = await worker.becomes("/readyz", 503)
        async with serve(MemoryTransport(), path):
            said = await worker.says("ready: fleet (1 queues)")
            await worker.becomes("/readyz", 200)
            attending = await worker.metric(f'rdg_queue_consumers{{queue="{FLEET}"}}')
        await worker.becomes("/readyz", 503)
        async with serve(MemoryTransport(), path):
            await worker.becomes("/readyz", 200)
            worker.process.send_signal(signal.SIGTERM)
            code = await worker.process.wait()

    assert waiting.json()["missing"] == [
        f"nothing is running at {path}: start `rdg up`, or set RDG_BUS"
    ]
    assert said[-1].endswith(f"health at {str(worker.client.base_url).rstrip('/')}\n")
    assert attending == 1
    assert code == 0


async def test_what_a_worker_did_is_in_its_metrics(tmp_path: Path) -> None:
    path, transport = tmp_path / "bus.sock", MemoryTransport()
    report = DeviceReported(
        id=UUID(int=1), device="d-1", model="m", version=1, state="running", at=datetime.now(UTC)
    )
    counted = f'rdg_messages_total{{outcome="%s",queue="{FLEET}",stage="fleet"}}'

    async with (
        serve(transport, path),
        started("fleet", RDG_BUS=f"unix://{path}") as worker,
    ):
        await worker.says("ready:")
        await Bus(transport, "test").publish(report)
        await transport.send(Envelope(report.topic, "2", b"\xc1", {"ce-id": "2"}))
        await until_dead(transport, FLEET, 1)
        await worker.counts(counted % "done", 1)
        await worker.counts(counted % "buried", 1)
        taken = await worker.metric(
            f'rdg_message_age_seconds_count{{queue="{FLEET}",stage="fleet"}}'
        )
        dead = await worker.metric(f'rdg_queue_dead_letters{{queue="{FLEET}"}}')

    assert (taken, dead) == (2, 1)


@pytest.mark.rabbit
async def test_a_worker_whose_broker_is_killed_is_alive_and_ready_once_it_is_back(
    rabbit_node: RabbitNode, amqp_url: str, bus_prefix: str
) -> None:
    async with started("fleet", RDG_BUS=amqp_url, RDG_NAMESPACE=bus_prefix) as worker:
        await worker.becomes("/readyz", 200)
        before = await worker.metric(f'rdg_queue_consumers{{queue="{FLEET}"}}')
        nobody = await worker.metric('rdg_queue_consumers{queue="training.training.requested.v1"}')

        await asyncio.sleep(3)  # killed earlier, a broker may leave new queues without a leader
        rabbit_node.kill()
        without = await worker.becomes("/readyz", 503)
        alive, up = await worker.status("/livez"), await worker.metric("rdg_ready")
        await asyncio.to_thread(rabbit_node.start)
        await worker.becomes("/readyz", 200)

    assert (before, nobody) == (1, 0)
    assert without.json()["missing"] == [f"the consumer of {FLEET} is gone and being put back"]
    assert (alive, up) == (200, 0)
