"""The settings that every process shares, read once from `RDG_*` in its environment or from flags."""

from pathlib import Path
from urllib.parse import quote

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


def _home() -> Path:
    return Path.home() / ".local" / "share" / "rdg"


class Settings(BaseSettings):
    """Where things are, and every limit with its unit. A flag wins over the environment."""

    model_config = SettingsConfigDict(
        env_prefix="RDG_", env_file=".env", frozen=True, extra="ignore", secrets_dir=None
    )

    home: Path = Field(default_factory=_home, description="Folder of the embedded bus and store.")
    bus: SecretStr | None = Field(None, description="amqp://… or unix:///path; default: in home.")
    store: SecretStr | None = Field(
        None, description="mongodb://… or sqlite:///path; default: in home."
    )
    data_dir: Path | None = Field(None, description="Folder with the public data sets' files.")
    namespace: str = Field(
        "rdg", pattern=r"^[a-z0-9]{1,16}$", description="Prefix of broker names."
    )
    prefetch: int = Field(4, ge=1, le=1000, description="Messages in flight per stage and process.")
    grace_s: float = Field(30, gt=0, description="Time to finish in-flight work after SIGTERM.")
    slice_s: float = Field(5, gt=0, le=600, description="Longest training or fitting step.")
    attempts: int = Field(
        5, ge=1, le=100, description="Deliveries before a message is a dead letter."
    )
    retry_s: float = Field(
        1, gt=0, le=3600, description="First retry's delay; it doubles each time."
    )
    inline_bytes: int = Field(
        1 << 20, ge=1 << 10, description="Larger bodies go through the store."
    )
    cache_bytes: int = Field(256 << 20, ge=0, description="Parts kept in memory per process.")

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
