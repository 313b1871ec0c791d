"""The bus over TLS: a broker and a client that check each other, and what is said when one does not pass."""

import asyncio
import ssl
from pathlib import Path

import pytest

from bus.connect import connect
from bus.errors import BusUnavailable
from schemas.tls import SYSTEM, Tls
from tests.bus.inbox import ORDERS, TOPOLOGY, Inbox, envelope, receiving
from tests.servers.certificates import Certificates
from tests.servers.process import free_port


@pytest.mark.rabbit
async def test_message_goes_through_a_broker_that_asks_for_a_certificate(
    amqps_url: str, certificates: Certificates, bus_prefix: str
) -> None:
    inbox = Inbox()
    async with connect(amqps_url, bus_prefix, certificates.tls) as transport:
        await transport.declare(TOPOLOGY)
        await transport.send(envelope(b"secret"))
        async with receiving(transport, inbox):
            await inbox.holds(1)
        assert await transport.depth(ORDERS.name) == 0

    assert inbox.bodies == [b"secret"]


@pytest.mark.rabbit
async def test_client_without_a_certificate_is_told_to_set_one(
    amqps_url: str, certificates: Certificates
) -> None:
    line = await refusal(amqps_url, Tls(certificates.ca))

    assert line.endswith("if it runs, it wants a certificate of this process: set RDG_TLS_CERT")


@pytest.mark.rabbit
async def test_client_with_a_certificate_of_another_authority_is_told_so(
    amqps_url: str, certificates: Certificates
) -> None:
    line = await refusal(amqps_url, Tls(certificates.ca, certificates.other_client))

    assert "does not accept the certificate in RDG_TLS_CERT: use one of an authority" in line


@pytest.mark.rabbit
@pytest.mark.parametrize("is_given", [True, False])
async def test_broker_of_another_authority_is_not_trusted(
    amqps_url: str, certificates: Certificates, is_given: bool
) -> None:
    ca = certificates.other_ca if is_given else None

    line = await refusal(amqps_url, Tls(ca, certificates.client))

    assert "certificate verify failed" in line
    assert line.endswith("set RDG_TLS_CA to the authority that issued the server's certificate")


@pytest.mark.rabbit
async def test_broker_of_another_name_is_not_trusted(
    amqps_url: str, certificates: Certificates
) -> None:
    line = await refusal(amqps_url.replace("localhost", "127.0.0.1"), certificates.tls)

    assert "certificate is not valid for '127.0.0.1'" in line
    assert line.endswith("use the name that the server's certificate is for in RDG_BUS")


@pytest.mark.rabbit
async def test_broker_without_tls_is_not_spoken_to(
    amqp_url: str, certificates: Certificates
) -> None:
    line = await refusal(amqp_url.replace("amqp://", "amqps://"), certificates.tls)

    assert line.endswith("no TLS is spoken there: correct the port in RDG_BUS")


async def test_files_of_tls_forbid_a_bus_in_the_clear(certificates: Certificates) -> None:
    line = await refusal(f"amqp://127.0.0.1:{free_port()}/", certificates.tls)

    assert line.startswith("RDG_BUS: amqp:// is in the clear")
    assert line.endswith("use amqps://")


@pytest.mark.parametrize("option", ["no_verify_ssl=1", "cafile=ca.pem", "certfile=x"])
async def test_option_in_the_url_cannot_weaken_it(option: str) -> None:
    line = await refusal(f"amqps://127.0.0.1:{free_port()}/?{option}", SYSTEM)

    assert f"{option.partition('=')[0]} has no effect in the URL; set RDG_TLS_CA" in line


async def test_unusable_file_is_named_with_its_setting(
    certificates: Certificates, tmp_path: Path
) -> None:
    url = f"amqps://127.0.0.1:{free_port()}/"
    absent, garbage = tmp_path / "absent.pem", tmp_path / "garbage.pem"
    garbage.write_text("garbage")
    garbage.chmod(0o600)
    cases = {
        (absent, None): f"RDG_TLS_CA: {absent}: No such file or directory; correct RDG_TLS_CA",
        (garbage, None): f"RDG_TLS_CA: {garbage} is not a PEM file of certificates",
        (None, absent): f"RDG_TLS_CERT: {absent}: No such file or directory; correct RDG_TLS_CERT",
        (None, garbage): f"RDG_TLS_CERT: {garbage} is not a PEM file of a certificate and its key",
        (None, certificates.ca): f"RDG_TLS_CERT: {certificates.ca}",
        (tmp_path, None): f"RDG_TLS_CA: {tmp_path}",
    }
    certificates.ca.chmod(0o600)

    for (ca, certificate), line in cases.items():
        assert (await refusal(url, Tls(ca, certificate))).startswith(line)


@pytest.mark.parametrize("mode", [0o604, 0o666])
async def test_key_that_every_user_may_read_is_refused(
    certificates: Certificates, tmp_path: Path, mode: int
) -> None:
    path = tmp_path / "client.pem"
    path.write_bytes(certificates.client.read_bytes())
    path.chmod(mode)

    line = await refusal(f"amqps://127.0.0.1:{free_port()}/", Tls(None, path))

    assert (
        line == f"RDG_TLS_CERT: {path} is open to every user of the machine; run `chmod o= {path}`"
    )


async def test_key_with_a_passphrase_is_refused_and_nobody_is_asked_for_it(
    certificates: Certificates, tmp_path: Path
) -> None:
    path = tmp_path / "client.pem"
    path.write_bytes(locked(certificates.client.read_bytes()))
    path.chmod(0o600)

    line = await refusal(f"amqps://127.0.0.1:{free_port()}/", Tls(None, path))

    assert line == "RDG_TLS_CERT: its key has a passphrase; use one without"


async def test_nothing_older_than_tls_1_2_is_spoken(certificates: Certificates) -> None:
    context = await asyncio.to_thread(certificates.tls.context)

    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.check_hostname
    assert context.verify_mode == ssl.CERT_REQUIRED


async def refusal(url: str, tls: Tls) -> str:
    with pytest.raises(BusUnavailable) as refused:
        async with connect(url, "rdg", tls):
            pass
    line = str(refused.value)
    assert "\n" not in line
    assert "guest" not in line
    return line


def locked(pem: bytes) -> bytes:
    """A certificate's file, its key locked by a passphrase."""
    from cryptography.hazmat.primitives.serialization import (
        BestAvailableEncryption,
        Encoding,
        PrivateFormat,
        load_pem_private_key,
    )

    key = load_pem_private_key(pem, None)
    lock = BestAvailableEncryption(b"open sesame")
    own = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock)
    return own + pem[pem.index(b"-----BEGIN CERTIFICATE") :]
