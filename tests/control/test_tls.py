"""`rdg` over TLS: `rdg doctor` finds all well, and a certificate that does not pass ends a command with its code."""

from collections.abc import Callable

import pytest
from pydantic import SecretStr

from control.diagnosis import diagnose
from schemas.settings import Settings
from tests.control.home import Home
from tests.servers.certificates import Certificates


@pytest.mark.rabbit
@pytest.mark.mongo
async def test_doctor_reaches_bus_and_store(
    amqps_url: str, mongo_tls_url: str, certificates: Certificates
) -> None:
    settings = Settings(
        bus=SecretStr(amqps_url),
        store=SecretStr(mongo_tls_url),
        tls_ca=certificates.ca,
        tls_cert=certificates.client,
    )

    found = {check.name: check for check in await diagnose(settings)}

    assert (found["store"].status, found["bus"].status) == ("ok", "ok")


Broken = Callable[[Certificates], dict[str, object]]
BROKEN: dict[str, Broken] = {
    "RDG_TLS_CERT": lambda files: {"RDG_TLS_CA": files.ca},
    "RDG_TLS_CA": lambda files: {"RDG_TLS_CA": files.other_ca, "RDG_TLS_CERT": files.client},
    "No such file": lambda files: {"RDG_TLS_CA": files.ca.with_name("absent.pem")},
}


@pytest.mark.rabbit
@pytest.mark.parametrize("word", BROKEN)
def test_bus_that_cannot_be_opened_is_exit_code_2(
    full_home: Home,
    amqps_url: str,
    certificates: Certificates,
    word: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in BROKEN[word](certificates).items():
        monkeypatch.setenv(name, str(value))

    outcome = full_home.rdg(f"job cancel j-1 --bus {amqps_url}")

    assert outcome.code == 2
    assert word in outcome.err
    assert outcome.err.count("\n") == 1
    assert outcome.out == ""


@pytest.mark.mongo
def test_store_that_cannot_be_opened_is_exit_code_2(
    home: Home, mongo_tls_url: str, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("store.mongo.ANSWER_S", 1)
    monkeypatch.setenv("RDG_TLS_CA", str(certificates.ca))

    outcome = home.rdg(f"device list --store {mongo_tls_url}")

    assert outcome.code == 2
    assert "set RDG_TLS_CERT" in outcome.err
    assert outcome.err.count("\n") == 1
