"""A file host on the loopback address that can be told to misbehave."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Host:
    """What the host holds, how it misbehaves, and what it was asked.

    Attributes:
        files: Content by path.
        statuses: Answers to give before any other, first to last.
        cuts: Bytes after which to hang up, for the first requests that get content.
        resumes: Whether Range is honoured.
        shift: Added to the first byte of what a Range request gets.
        length: Whether the length is announced.
        requests: Path and Range header of each request.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    statuses: list[int] = field(default_factory=list)
    cuts: list[int] = field(default_factory=list)
    resumes: bool = True
    shift: int = 0
    length: bool = True
    url: str = ""
    requests: list[tuple[str, str | None]] = field(default_factory=list)


@contextmanager
def serving() -> Iterator[Host]:
    host = Host()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self, host)

        def log_message(self, *arguments: object) -> None:
            """Keep the test output clean."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        host.url = f"http://127.0.0.1:{server.server_port}/"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield host
        finally:
            server.shutdown()
            thread.join()


def answer(request: BaseHTTPRequestHandler, host: Host) -> None:
    wanted = request.headers.get("Range")
    host.requests.append((request.path, wanted))
    content = host.files.get(request.path)
    if host.statuses:
        request.send_error(host.statuses.pop(0))
    elif content is None:
        request.send_error(404)
    else:
        send(request, host, content, wanted)


def send(request: BaseHTTPRequestHandler, host: Host, content: bytes, wanted: str | None) -> None:
    start = 0
    if wanted and host.resumes:
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) + host.shift
        if start >= len(content):
            request.send_error(416)
            return
    request.send_response(206 if wanted and host.resumes else 200)
    if wanted and host.resumes:
        last = f"{len(content) - 1}/{len(content)}"
        request.send_header("Content-Range", f"bytes {start}-{last}")
    if host.length:
        request.send_header("Content-Length", str(len(content) - start))
    request.end_headers()
    request.wfile.write(content[start : start + host.cuts.pop(0)] if host.cuts else content[start:])
