"""What a process tells over HTTP: `/livez`, `/readyz`, `/metrics` and `/version`, from its start until it has ended.

Its own event loop serves them, so a process whose loop is blocked is not alive without any check of ours. Beyond this
machine nothing is served without a token. Nobody's requests are logged.
"""

import asyncio
import logging
import platform
import secrets
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_address
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, FastAPI, HTTPException, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from pydantic import SecretStr
from uvicorn import Config, Server
from uvicorn.protocols.http.h11_impl import H11Protocol

from bus.tasks import tasks
from schemas.settings import Settings
from workers.health import Health
from workers.resources import code_version

OFF = "off"
MAX_CONNECTIONS = 64
CLOSE_S = 1

Caller = Annotated[HTTPAuthorizationCredentials | None, Depends(HTTPBearer(auto_error=False))]


class Connection(H11Protocol):
    """One of MAX_CONNECTIONS at most: the oldest makes room for a new one, so who only connects keeps nobody out.

    uvicorn's own limit answers 503 instead, to whoever asks next: a live process would look dead.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take it, and close the oldest if it is one too many."""
        self.since = self.loop.time()
        super().connection_made(transport)
        if len(self.connections) > MAX_CONNECTIONS:
            others = (each for each in self.connections if isinstance(each, Connection))
            oldest = min(others, key=lambda each: each.since)
            self.connections.discard(oldest)
            oldest.transport.abort()


@asynccontextmanager
async def serving(settings: Settings, health: Health) -> AsyncIterator[str]:
    """Serve the endpoints while the context is open, and give out their address.

    Raises:
        ValueError: They cannot be served there; one line that says what to do.

    """
    if settings.health == OFF:
        yield OFF
        return
    listener = await asyncio.to_thread(_listen, settings.health, settings.health_token)
    async with tasks() as group, _served(application(health, settings.health_token), listener):
        group.create_task(health.metrics.watch_loop())
        yield _url(listener)


def application(health: Health, token: SecretStr | None) -> FastAPI:
    """Return the endpoints; with a token, each wants it as `Authorization: Bearer …`."""
    guards = [Depends(_knows(token))] if token else []
    app = FastAPI(openapi_url=None, dependencies=guards)

    @app.get("/livez")
    @app.get("/healthz")
    async def livez() -> PlainTextResponse:
        return PlainTextResponse("ok\n")

    @app.get("/readyz")
    async def readyz() -> JSONResponse:
        missing = await health.missing()
        content = {"ready": not missing, "missing": missing}
        return JSONResponse(content, status_code=503 if missing else 200)

    @app.get("/metrics")
    async def metrics() -> Response:
        await health.look_around()
        text = generate_latest(health.metrics.registry)
        return Response(text, media_type=CONTENT_TYPE_PLAIN_0_0_4)

    @app.get("/version")
    async def version() -> JSONResponse:
        python = platform.python_version()
        return JSONResponse(
            {"version": code_version(), "python": python, "stages": list(health.stages)}
        )

    return app


def _knows(token: SecretStr) -> Callable[[Caller], None]:
    """Return a dependency that refuses whoever does not send the token, in a time that tells nothing of it."""
    expected = token.get_secret_value().encode()

    def check(caller: Caller) -> None:
        given = caller.credentials.encode() if caller else b""
        if not secrets.compare_digest(given, expected):
            raise HTTPException(401, headers={"WWW-Authenticate": "Bearer"})

    return check


@asynccontextmanager
async def _served(app: FastAPI, listener: socket.socket) -> AsyncIterator[None]:
    """Run the server on the event loop there is. Its own `serve` would take the process's signals for itself."""
    config = Config(
        app,
        access_log=False,
        date_header=False,
        http=Connection,
        lifespan="off",
        log_config=None,
        log_level=logging.WARNING,
        server_header=False,
        timeout_graceful_shutdown=CLOSE_S,
        ws="none",
    )
    config.load()
    server = Server(config)
    server.lifespan = config.lifespan_class(config)
    with listener:
        await server.startup([listener])
        try:
            yield
        finally:
            await server.shutdown([listener])


def _listen(place: str, token: SecretStr | None) -> socket.socket:
    """Return a socket that listens at `host:port`."""
    host, port = _split(place)
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        if token is None and not ip_address(address[0]).is_loopback:
            raise ValueError(
                f"RDG_HEALTH: {place} is open to other machines; set RDG_HEALTH_TOKEN, or use 127.0.0.1"
            )
        return socket.create_server((str(address[0]), port), family=family)
    except OSError as error:
        raise ValueError(
            f"RDG_HEALTH: cannot listen at {place} ({error.strerror}); choose a free port of this machine, or 0"
        ) from error


def _split(place: str) -> tuple[str, int]:
    try:
        split = urlsplit(f"//{place}")
        is_plain = split.netloc == place and split.username is None
        if is_plain and split.hostname and split.port is not None:
            return split.hostname, split.port
    except ValueError:  # no such port
        pass
    raise ValueError(f"RDG_HEALTH: {place!r} is not host:port like 127.0.0.1:0, nor off")


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
