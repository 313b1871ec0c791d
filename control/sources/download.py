"""Fetch a published file: resumed, bounded, checked, and there in whole or not at all.

Bytes go to `<name>.part` beside the target. What a broken transfer left there is continued with a
Range request, now or in a later run. Only a file that passes its check gets its name. One process
at a time may fetch into a folder; two spoil each other's part, which the check then refuses.
"""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from control.sources.errors import DownloadFailed, writing

MAX_BYTES = 512 * 1024**2
TRY_LATER = frozenset({408, 416, 425, 429, 500, 502, 503, 504})
REMEDY = "check the network, or put the files into a folder and name it by RDG_DATA_DIR"

Progress = Callable[[int, int | None], None]  # bytes of this file so far, and in all if known


@dataclass(frozen=True)
class Patience:
    """How long to try.

    Attributes:
        attempts: Transfers begun with each host.
        backoff_s: Wait before the second attempt; doubled for each further one.
        timeout_s: Longest silence of a host.

    """

    attempts: int = 4
    backoff_s: float = 0.5
    timeout_s: float = 30


class _Broken(Exception):
    """The transfer ended early: try this host again."""


class _Refused(Exception):
    """The host will not give the file: try the next."""


@dataclass(frozen=True)
class _Transfer:
    client: httpx.Client
    part: Path
    is_genuine: Callable[[Path], bool]
    progress: Progress | None

    def run(self, url: str) -> None:
        """Bring the part to its end and check it."""
        start = self.part.stat().st_size if self.part.exists() else 0
        headers = {"Range": f"bytes={start}-"} if start else {}
        try:
            with self.client.stream("GET", url, headers=headers) as response:
                self._receive(response, start)
        except httpx.HTTPError as error:
            raise _Broken(str(error) or type(error).__name__) from error
        if not self.is_genuine(self.part):
            self.part.unlink()
            # What was continued may be of another file, or continued at another place: begin again.
            raise (_Broken if start else _Refused)("the checksum differs from the published one")

    def _receive(self, response: httpx.Response, start: int) -> None:
        self._check_status(response)
        done = start if response.status_code == httpx.codes.PARTIAL_CONTENT else 0
        length = response.headers.get("Content-Length", "")
        total = done + int(length) if length.isdecimal() else None
        with self.part.open("ab" if done else "wb") as target:
            for chunk in response.iter_raw():  # as it arrives, so that a break loses nothing
                done += len(chunk)
                if done > MAX_BYTES:
                    break
                target.write(chunk)
                if self.progress is not None:
                    self.progress(done, total)
        if done > MAX_BYTES:
            self.part.unlink()
            raise _Refused(f"it sends more than {MAX_BYTES:,} bytes")

    def _check_status(self, response: httpx.Response) -> None:
        answer = f"it answers {response.status_code} {response.reason_phrase}"
        if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            self.part.unlink(missing_ok=True)  # longer than the file: not a part of it
        if response.status_code in TRY_LATER:
            raise _Broken(answer)
        if response.status_code not in (httpx.codes.OK, httpx.codes.PARTIAL_CONTENT):
            raise _Refused(answer)


def fetch(
    urls: Sequence[str],
    target: Path,
    is_genuine: Callable[[Path], bool],
    progress: Progress | None = None,
    patience: Patience | None = None,
) -> None:
    """Download one file from the first host that gives it whole. Blocks: call it from a thread.

    Args:
        urls: The same file on different hosts, best first.
        target: Where it goes; its folder is made.
        is_genuine: Whether a whole file is the published one.
        progress: Told after each chunk; what it raises ends the transfer and keeps the part.
        patience: How long to try each host.

    Raises:
        DownloadFailed: No host gave it; the message has each host's reason.
        SourceError: The folder cannot be written.

    """
    patience = patience or Patience()
    part = target.with_name(f"{target.name}.part")
    # Unencoded, because the files are packed already and a resumed encoding cannot be undone.
    headers = {"Accept-Encoding": "identity"}
    reasons = []
    with (
        writing(target.parent),
        httpx.Client(timeout=patience.timeout_s, follow_redirects=True, headers=headers) as client,
    ):
        target.parent.mkdir(parents=True, exist_ok=True)
        transfer = _Transfer(client, part, is_genuine, progress)
        for url in urls:
            reason = _persist(transfer, url, patience)
            if reason is None:
                os.replace(part, target)
                return
            reasons.append(f"{httpx.URL(url).host}: {reason}")
    raise DownloadFailed(target.name, "; ".join(reasons), REMEDY)


def _persist(transfer: _Transfer, url: str, patience: Patience) -> str | None:
    """Try one host as often as patience allows; return why it failed, None if it did not."""
    reason = ""
    for attempt in range(patience.attempts):
        if attempt:
            time.sleep(patience.backoff_s * 2 ** (attempt - 1))
        try:
            transfer.run(url)
        except _Broken as error:
            reason = str(error)
        except _Refused as error:
            return str(error)
        else:
            return None
    return f"{reason} ({patience.attempts} attempts)"
