"""An agent reaches a broker that asks for its certificate, and says what is missing when it has none."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from bus.bus import Bus
from bus.connect import connect
from bus.tasks import tasks
from edge_agent.agent import Agent
from edge_agent.settings import read_settings
from edge_agent.slots import opened
from schemas.tls import Tls
from tests.edge_agent.fleet import until
from tests.edge_agent.releases import release
from tests.servers.certificates import Certificates


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    with opened(tmp_path / "state") as slots:
        yield Agent("pump-7", "digits", slots)


@pytest.mark.rabbit
async def test_agent_follows_over_tls(
    agent: Agent,
    amqps_url: str,
    bus_prefix: str,
    certificates: Certificates,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RDG_TLS_CA", str(certificates.ca))
    monkeypatch.setenv("RDG_TLS_CERT", str(certificates.client))
    settings = read_settings(amqps_url)

    async with connect(amqps_url, bus_prefix, certificates.tls) as transport, tasks() as group:
        await Bus(transport, "releasing").publish(release(1))
        group.create_task(agent.run(settings.bus_url, bus_prefix, settings.tls))
        await until(lambda: agent.running == release(1).manifest)


@pytest.mark.rabbit
async def test_agent_without_a_certificate_says_so_and_waits(
    agent: Agent, amqps_url: str, certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "rdg.agent")
    async with tasks() as group:
        group.create_task(agent.run(amqps_url, tls=Tls(certificates.ca)))
        await until(lambda: "set RDG_TLS_CERT" in caplog.text)

    assert "waiting for the bus" in caplog.text
