"""The store over TLS: a MongoDB server and a client that check each other."""

from collections.abc import Callable
from pathlib import Path

import pytest

from schemas.documents import Model
from schemas.tls import Tls
from store.connect import open_store
from store.errors import StoreUnavailable
from tests.servers.certificates import Certificates
from tests.servers.process import free_port


@pytest.mark.mongo
async def test_document_is_kept_by_a_server_that_asks_for_a_certificate(
    mongo_tls_url: str, certificates: Certificates
) -> None:
    async with open_store(mongo_tls_url, tls=certificates.tls) as store:
        await store.insert(Model(id="kept"))
        digest = await store.put_part(b"bytes", "data/x")
    async with open_store(mongo_tls_url, tls=certificates.tls) as store:
        assert (await store.get(Model, "kept")).id == "kept"
        assert await store.get_part(digest) == b"bytes"


WRONG: dict[str, tuple[Callable[[Certificates], Tls], str]] = {
    "no certificate": (
        lambda files: Tls(files.ca),
        "it wants a certificate of this process: set RDG_TLS_CERT",
    ),
    "another's certificate": (
        lambda files: Tls(files.ca, files.other_client),
        "it does not accept the certificate in RDG_TLS_CERT",
    ),
    "another authority": (
        lambda files: Tls(files.other_ca, files.client),
        "set RDG_TLS_CA to the authority that issued the server's certificate",
    ),
}


@pytest.mark.mongo
@pytest.mark.parametrize("case", WRONG)
async def test_who_does_not_pass_is_told_what_to_set(
    mongo_tls_url: str,
    certificates: Certificates,
    case: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("store.mongo.ANSWER_S", 1)
    files, remedy = WRONG[case]

    assert remedy in await refusal(mongo_tls_url, files(certificates))


@pytest.mark.mongo
@pytest.mark.parametrize("options", ["", "?tlsAllowInvalidHostnames=true", "?tls=false"])
async def test_server_of_another_name_is_not_trusted_whatever_the_url_says(
    mongo_tls_url: str,
    certificates: Certificates,
    options: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("store.mongo.ANSWER_S", 1)
    url = mongo_tls_url.replace("localhost", "127.0.0.1") + options

    line = await refusal(url, certificates.tls)

    assert line.endswith("use the name that the server's certificate is for in RDG_STORE")


@pytest.mark.mongo
async def test_server_without_tls_is_not_spoken_to(
    mongo_url: str, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("store.mongo.ANSWER_S", 1)

    assert "RDG_STORE: no MongoDB server" in await refusal(mongo_url, certificates.tls)


async def test_unusable_file_is_named_with_its_setting(
    certificates: Certificates, tmp_path: Path
) -> None:
    url, absent = f"mongodb://127.0.0.1:{free_port()}/rdg", tmp_path / "absent.pem"

    assert (await refusal(url, Tls(absent))).startswith(f"RDG_TLS_CA: {absent}: No such file")
    line = await refusal(url, Tls(certificates.ca, absent))
    assert line.startswith(f"RDG_TLS_CERT: {absent}: No such file")


async def refusal(url: str, tls: Tls) -> str:
    with pytest.raises(StoreUnavailable) as refused:
        async with open_store(url, tls=tls):
            pass
    assert "\n" not in str(refused.value)
    return str(refused.value)
