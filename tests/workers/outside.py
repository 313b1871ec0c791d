"""A worker's process as it is seen from outside: by its log, its endpoints and its exit code."""

import asyncio
import os
import re
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.servers.process import free_port

ROOT = Path(__file__).parents[2]
PATIENCE_S = 120
ANSWER_S = 20


@dataclass(frozen=True)
class Outside:
    """A process and a way to its endpoints."""

    process: Process
    client: httpx.AsyncClient

    async def says(self, words: str) -> list[str]:
        """Wait until its log says this, and return what it said until then."""
        assert self.process.stderr
        heard: list[str] = []
        while not heard or words not in heard[-1]:
            line = (await self.process.stderr.readline()).decode()
            assert line, f"it ended after:\n{''.join(heard)}"
            heard.append(line)
        return heard

    async def status(self, path: str) -> int:
        """Return what it answers; 0 if it does not."""
        try:
            return (await self.client.get(path)).status_code
        except httpx.TransportError:
            return 0

    async def becomes(self, path: str, status: int) -> httpx.Response:
        """Wait for that answer and return it. The whole test has its patience: this has none of its own."""
        while await self.status(path) != status:  # noqa: ASYNC110  no event tells of it
            await asyncio.sleep(0.05)
        return await self.client.get(path)

    async def metric(self, line: str) -> float:
        """Return the value of a series, as it is written in the text format."""
        text = (await self.client.get("/metrics")).text
        found = re.search(rf"^{re.escape(line)} (.*)$", text, re.MULTILINE)
        assert found, f"no {line} in:\n{text}"
        return float(found[1])

    async def counts(self, line: str, value: float) -> None:
        """Wait until a series has that value."""
        while await self.metric(line) != value:  # noqa: ASYNC110  no event tells of it
            await asyncio.sleep(0.05)


@asynccontextmanager
async def started(*stages: str, **environment: str) -> AsyncIterator[Outside]:
    """Run a worker with its endpoints at a known port, and kill it at the end."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("RDG_")}
    health = f"127.0.0.1:{free_port()}"
    with tempfile.TemporaryDirectory() as home:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "workers",
            *stages,
            cwd=ROOT,
            stderr=PIPE,
            env={**inherited, "RDG_HOME": home, "RDG_HEALTH": health, **environment},
        )
        try:
            async with (
                asyncio.timeout(PATIENCE_S),
                httpx.AsyncClient(base_url=f"http://{health}", timeout=ANSWER_S) as client,
            ):
                yield Outside(process, client)
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()
