"""The log: every record of a handler names its message, and no record shows a password."""

import asyncio
import io
import json
import logging
from collections.abc import Iterator

import pytest

from bus.tracing import processing
from bus.transport import Envelope
from schemas.settings import LogFormat
from tests.workers.outside import started
from workers.logs import formatter, redacted

TRACE = "0af7651916cd43dd8448eb211c80319c"
ENVELOPE = Envelope(
    "orders",
    "m-7",
    b"",
    {"ce-subject": "j-1.2", "traceparent": f"00-{TRACE}-b7ad6b7169203331-01"},
)
SECRETS = ("amqp://rdg:hunter2@host:5672/", "mongodb+srv://:hun/ter2@x@host/rdg?a=b")

log = logging.getLogger("rdg.test")


class Written:
    """What was logged, as text."""

    def __init__(self) -> None:
        self.stream = io.StringIO()

    def begin(self, log_format: LogFormat) -> None:
        handler = logging.StreamHandler(self.stream)
        handler.setFormatter(formatter(log_format))
        log.handlers = [handler]
        log.setLevel(logging.DEBUG)

    @property
    def lines(self) -> list[str]:
        return self.stream.getvalue().splitlines()


@pytest.fixture
def written() -> Iterator[Written]:
    yield Written()
    log.handlers = []
    log.setLevel(logging.NOTSET)


def in_hand() -> None:
    with processing("planning", "planning.orders", "memory", ENVELOPE):
        log.warning("took %d", 3)


def test_a_record_of_a_handler_names_its_message(written: Written) -> None:
    written.begin("json")

    in_hand()

    (record,) = map(json.loads, written.lines)
    assert record.pop("timestamp").endswith("Z")
    assert record == {
        "event": "took 3",
        "level": "warning",
        "logger": "rdg.test",
        "job": "j-1",
        "run": "j-1.2",
        "message": "m-7",
        "trace": TRACE,
        "stage": "planning",
    }


def test_a_line_for_people_names_it_too(written: Written) -> None:
    written.begin("text")

    in_hand()

    (line,) = written.lines
    assert line.partition(" ")[2] == (
        f"WARNING rdg.test took 3 job=j-1 run=j-1.2 message=m-7 trace={TRACE} stage=planning"
    )


async def test_so_does_a_record_of_a_handlers_thread(written: Written) -> None:
    written.begin("json")

    with processing("planning", "planning.orders", "memory", ENVELOPE):
        await asyncio.to_thread(log.info, "from a thread")
    log.info("after it")

    within, after = map(json.loads, written.lines)
    assert within["message"] == "m-7"
    assert "message" not in after


def test_a_traceback_stays_within_its_json_line(written: Written) -> None:
    written.begin("json")

    try:
        raise ValueError("no\nsuch thing")
    except ValueError:
        log.exception("it failed")

    (record,) = map(json.loads, written.lines)
    assert record["event"] == "it failed"
    assert record["exception"].endswith("ValueError: no\nsuch thing")


FORGED = "\n2026-01-01T00:00:00Z ERROR rdg.worker forged\r\x1b[2J\u2028\x85"


def test_what_a_message_says_makes_no_line_of_its_own(written: Written) -> None:
    written.begin("text")
    envelope = Envelope(f"orders{FORGED}", f"m{FORGED}", b"", {"ce-subject": f"j{FORGED}.1"})

    with processing("planning", "planning.orders", "memory", envelope):
        log.warning("refused %s", FORGED)

    (line,) = written.lines
    assert line.isprintable()
    assert f"refused {FORGED.encode('unicode_escape').decode()} job=j\\n2026" in line


def test_a_traceback_is_readable_and_none_of_its_lines_looks_like_a_record(
    written: Written,
) -> None:
    written.begin("text")

    try:
        raise ValueError(FORGED)
    except ValueError:
        log.exception("it failed")

    first, *traceback = written.lines
    assert first.endswith("ERROR rdg.test it failed")
    assert traceback[0] == "  Traceback (most recent call last):"
    assert traceback[2].strip() == "raise ValueError(FORGED)"
    assert all(line.startswith("  ") and line.isprintable() for line in traceback)


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_what_a_record_says_of_its_message_is_cut(written: Written, log_format: LogFormat) -> None:
    written.begin(log_format)
    envelope = Envelope("orders", "m" * 255, b"", {"ce-subject": "j" * 100_000})

    with processing("planning", "planning.orders", "memory", envelope):
        log.warning("took it")

    assert len(written.stream.getvalue()) < 1000


@pytest.mark.parametrize("log_format", ["text", "json"])
@pytest.mark.parametrize("url", SECRETS)
def test_no_record_shows_the_password_of_a_url(
    written: Written, log_format: LogFormat, url: str
) -> None:
    written.begin(log_format)

    try:
        raise ConnectionError(f"cannot reach {url}")
    except ConnectionError as error:
        log.exception("lost %s: %s", url, error)

    text = written.stream.getvalue()
    assert "hun" not in text
    assert "ter2" not in text
    assert text.count(":***@host") == 3  # twice in the event, once in the traceback


def test_what_is_no_password_stays() -> None:
    for text in (
        "amqp://host:5672/ and ada@example.org",
        "http://[::1]:9400/readyz",
        "mongodb://rdg@host/",
        "a: b@c",
    ):
        assert redacted(text) == text


async def test_a_worker_that_cannot_connect_logs_json_without_the_password() -> None:
    url = "amqp://rdg:hunter2@127.0.0.1:1/"

    async with started("fleet", RDG_BUS=url, RDG_LOG_FORMAT="json") as worker:
        said = await worker.says("trying again")

    records = [json.loads(line) for line in said]
    assert records[-1]["logger"] == "rdg.worker"
    assert "127.0.0.1:1" in records[-1]["event"]
    assert "hunter2" not in "".join(said)
