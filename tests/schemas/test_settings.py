"""The settings of a process: from RDG_* alone, checked, and quiet about secrets."""

import os
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from schemas.settings import Settings
from schemas.tls import Tls

SECONDS = [f"RDG_{name.upper()}" for name in Settings.model_fields if name.endswith("_s")]


@pytest.fixture(autouse=True)
def _empty_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("RDG_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)  # where there is no .env


def test_without_settings_all_is_in_the_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home-of-somebody")

    settings = Settings()

    assert settings.bus_url == "unix:///home-of-somebody/.local/share/rdg/bus.sock"
    assert settings.store_url == "sqlite:///home-of-somebody/.local/share/rdg/store.db"


def test_the_environment_sets_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RDG_BUS", "amqp://host/")
    monkeypatch.setenv("RDG_STORE", "mongodb://host/rdg")
    monkeypatch.setenv("RDG_NAMESPACE", "plant7")
    monkeypatch.setenv("RDG_SLICE_S", "0.5")
    monkeypatch.setenv("RDG_PREFETCH", "9")

    settings = Settings()

    assert (settings.bus_url, settings.store_url) == ("amqp://host/", "mongodb://host/rdg")
    assert (settings.namespace, settings.slice_s, settings.prefetch) == ("plant7", 0.5, 9)


def test_home_moves_bus_and_store_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RDG_HOME", "/srv/rdg")

    settings = Settings()

    assert settings.bus_url == "unix:///srv/rdg/bus.sock"
    assert settings.store_url == "sqlite:///srv/rdg/store.db"


def test_a_flag_wins_over_the_environment_and_that_over_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("RDG_PREFETCH=1\nRDG_ATTEMPTS=1\nRDG_NAMESPACE=file\n")
    monkeypatch.setenv("RDG_PREFETCH", "2")
    monkeypatch.setenv("RDG_ATTEMPTS", "2")

    settings = Settings(prefetch=3)

    assert (settings.prefetch, settings.attempts, settings.namespace) == (3, 2, "file")


def test_other_variables_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFETCH", "9")
    monkeypatch.setenv("RDG_SOMETHING_ELSE", "x")

    assert Settings().prefetch == 4


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RDG_NAMESPACE", "a.b"),
        ("RDG_NAMESPACE", ""),
        ("RDG_PREFETCH", "0"),
        ("RDG_GRACE_S", "soon"),
        ("RDG_SLICE_S", "0"),
        ("RDG_SLICE_S", "601"),
        *((name, value) for name in SECONDS for value in ("inf", "nan", "1e300")),
        ("RDG_ATTEMPTS", "101"),
        ("RDG_INLINE_BYTES", "1"),
        ("RDG_CACHE_BYTES", "-1"),
        ("RDG_SEALING", "off"),
    ],
)
def test_a_value_out_of_its_range_is_refused_by_its_name(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(ValidationError, match=name.removeprefix("RDG_").lower()):
        Settings()


def test_files_of_tls_and_keys_are_named_by_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RDG_TLS_CA", "/etc/rdg/ca.pem")
    monkeypatch.setenv("RDG_TLS_CERT", "/etc/rdg/worker.pem")
    monkeypatch.setenv("RDG_KEYS", "/etc/rdg/fleet.keys")

    settings = Settings()

    assert settings.tls == Tls(Path("/etc/rdg/ca.pem"), Path("/etc/rdg/worker.pem"))
    assert (settings.keys, settings.sealing) == (Path("/etc/rdg/fleet.keys"), "require")


def test_passwords_are_not_shown() -> None:
    settings = Settings(
        bus=SecretStr("amqp://rdg:hunter2@host/"), store=SecretStr("mongodb://rdg:hunter2@host/")
    )

    assert "hunter2" in settings.bus_url
    assert "hunter2" in settings.store_url
    for shown in (repr(settings), str(settings), str(settings.model_dump())):
        assert "hunter2" not in shown


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().prefetch = 5  # type: ignore[misc]  # that is the point


@pytest.mark.parametrize("given", [{"slice_s": 600}, {"slice_s": 20, "deadline_s": 20}])
def test_deadline_is_longer_than_a_slice(given: dict[str, float]) -> None:
    with pytest.raises(
        ValidationError, match="longer than a slice, RDG_SLICE_S, which is"
    ) as caught:
        Settings.model_validate(given)

    assert caught.value.errors()[0]["loc"] == ("deadline_s",)
