"""Names and places come from flags, else from the environment, else from the machine."""

import socket
from pathlib import Path

import pytest

from edge_agent.errors import Invalid
from edge_agent.settings import device_name, read_settings, state_folder


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("pump-7", "pump-7"),
        ("Pump_7.local", "pump-7-local"),
        ("--x--", "x"),
        ("été", "t"),
        ("日本", "device"),
        ("a" * 99, "a" * 63),
    ],
)
def test_host_name_is_made_legal(host: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: host)

    assert device_name() == name


@pytest.mark.parametrize("name", ["Pump", "-a", "a/b", "..", "a" * 64])
def test_illegal_device_name_is_refused(name: str) -> None:
    with pytest.raises(Invalid, match=r"--device .*: use up to 63 of a-z, 0-9 and -"):
        device_name(name)


def test_flag_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RDG_BUS", "amqp://there/")

    assert read_settings().bus_url == "amqp://there/"
    assert read_settings("unix:///here").bus_url == "unix:///here"


def test_state_is_under_the_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RDG_HOME", "/var/lib/rdg")

    assert state_folder(read_settings(), "pump-7") == Path("/var/lib/rdg/agents/pump-7")


@pytest.mark.parametrize("url", ["memory://", "http://x", "socket"])
def test_bus_that_no_device_can_reach_is_refused(url: str) -> None:
    with pytest.raises(Invalid, match="RDG_BUS or --bus: use amqp://"):
        read_settings(url)


def test_setting_out_of_range_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RDG_NAMESPACE", "Not Legal")

    with pytest.raises(Invalid, match="RDG_NAMESPACE: "):
        read_settings()
