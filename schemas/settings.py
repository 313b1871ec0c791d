"""The settings that every process shares, read once from `RDG_*` in its environment or from flags."""

from pathlib import Path
from typing import Literal
from urllib.parse import quote

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from schemas.message import Sealing
from schemas.tls import Tls

MAX_S = 366 * 86_400.0  # as for a job's deadline; beyond some, a time cannot be reckoned with

LogFormat = Literal["text", "json"]


def _home() -> Path:
    return Path.home() / ".local" / "share" / "rdg"


class Settings(BaseSettings):
    """Where things are, and every limit with its unit. A flag wins over the environment."""

    model_config = SettingsConfigDict(
        env_prefix="RDG_", env_file=".env", frozen=True, extra="ignore", secrets_dir=None
    )

    home: Path = Field(default_factory=_home, description="Folder of the embedded bus and store.")
    bus: SecretStr | None = Field(
        None,
        description="amqp://… (hosts of a cluster: a,b,c) or unix:///path; default: in home.",
    )
    store: SecretStr | None = Field(
        None, description="mongodb://… or sqlite:///path; default: in home."
    )
    tls_ca: Path | None = Field(
        None, description="PEM file of the authorities to trust; default: the system's."
    )
    tls_cert: Path | None = Field(
        None, description="PEM file of this process's certificate and its key."
    )
    keys: Path | None = Field(
        None, description="File of the keys that seal message bodies; default: none are sealed."
    )
    sealing: Sealing = Field(
        "require", description="With keys: accept, seal, or also require what is sealed."
    )
    data_dir: Path | None = Field(None, description="Folder with the public data sets' files.")
    namespace: str = Field(
        "rdg", pattern=r"^[a-z0-9]{1,16}$", description="Prefix of broker names."
    )
    prefetch: int = Field(4, ge=1, le=1000, description="Messages in flight per stage and process.")
    grace_s: float = Field(
        30, gt=0, le=MAX_S, description="Time to finish in-flight work after SIGTERM."
    )
    slice_s: float = Field(5, gt=0, le=600, description="Longest training or fitting step.")
    deadline_s: float = Field(
        600,
        ge=1,
        le=1500,  # RabbitMQ takes a message back from whoever had it for half an hour
        validate_default=True,
        description="Longest time for one message; then its handler is ended.",
    )
    window: int = Field(
        32, ge=1, le=10_000, description="Shards of one job that may be on their way at a time."
    )
    active_jobs: int = Field(
        64, ge=1, le=100_000, description="Jobs that may be under way at a time; more wait."
    )
    stall_s: float = Field(
        300,
        gt=0,
        le=86_400,
        description="Silence beyond a slice after which a job is asked for again.",
    )
    sweep_s: float = Field(5, gt=0, le=600, description="Between two looks at the open jobs.")
    monitor_s: float = Field(
        60, gt=0, le=86_400, description="Between two looks at what devices have counted."
    )
    report_s: float = Field(
        300, gt=0, le=86_400, description="Between two reports of what a device has counted."
    )
    job_deadline_s: float | None = Field(
        None, gt=0, le=MAX_S, description="Time that a job has which names no deadline of its own."
    )
    attempts: int = Field(
        5, ge=1, le=100, description="Attempts before a message is a dead letter."
    )
    retry_s: float = Field(
        1, gt=0, le=3600, description="First retry's delay; it doubles each time."
    )
    inline_bytes: int = Field(
        1 << 20, ge=1 << 10, description="Larger bodies go through the store."
    )
    cache_bytes: int = Field(256 << 20, ge=0, description="Parts kept in memory per process.")
    health: str = Field(
        "127.0.0.1:0",
        max_length=255,
        description="host:port of a worker's health endpoints; port 0: any free one; off: none.",
    )
    health_token: SecretStr | None = Field(
        None, min_length=16, description="What callers of the health endpoints must know."
    )
    log_format: LogFormat = Field(
        "text", description="A worker's log: lines for people, or JSON for machines."
    )

    @field_validator("deadline_s")
    @classmethod
    def _longer_than_a_slice(cls, deadline_s: float, info: ValidationInfo) -> float:
        slice_s = info.data.get("slice_s", 0)
        if deadline_s <= slice_s:
            raise ValueError(f"must be longer than a slice, RDG_SLICE_S, which is {slice_s:g} s")
        return deadline_s

    @property
    def _quoted_home(self) -> str:
        return quote(str(self.home.expanduser().absolute()))

    @property
    def bus_url(self) -> str:
        """Where the bus is; the default is the socket of `rdg up` in `home`."""
        return self.bus.get_secret_value() if self.bus else f"unix://{self._quoted_home}/bus.sock"

    @property
    def store_url(self) -> str:
        """Where the store is; the default is a file in `home`."""
        return (
            self.store.get_secret_value()
            if self.store
            else f"sqlite://{self._quoted_home}/store.db"
        )

    @property
    def tls(self) -> Tls:
        """Whom to trust and what to show, on the way to bus and store."""
        return Tls(self.tls_ca, self.tls_cert)
