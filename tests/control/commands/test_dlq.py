import asyncio
import json
from typing import Any
from uuid import UUID

import pytest

from bus.connect import connect
from bus.wire import encode
from schemas.documents import Job
from schemas.flow import RehearsalRequested, ReviewDecided
from store.base import Store
from tests.bus.inbox import until_dead
from tests.control.home import Home
from tests.control.world import DECISIONS, JOB, LETTER, QUEUES, REQUESTS, job

OTHER = UUID(int=7)


@pytest.fixture
def buried(full_home: Home) -> Home:
    """A home with a dead letter in each of two queues, on behalf of a job that goes on."""
    keep(full_home, job("training"))
    full_home.bury(RehearsalRequested(id=LETTER, job=JOB), REQUESTS, "ValueError: \x1b[31mno")
    full_home.bury(ReviewDecided(id=OTHER, job=JOB, approved=True, reviewer="ada"), DECISIONS)
    return full_home


def keep(home: Home, made: Job) -> None:
    async def insert(store: Store) -> None:
        await store.insert(made)

    home.with_store(insert)


def listed(home: Home, flags: str = "") -> list[dict[str, Any]]:
    outcome = home.rdg(f"dlq list --format json {flags}")
    assert outcome.code == 0, outcome.err
    found: list[dict[str, Any]] = json.loads(outcome.out)
    return found


def test_the_list_is_of_all_queues_the_last_that_died_first(buried: Home) -> None:
    first, second = listed(buried)
    assert (first["id"], first["queue"], first["stage"]) == (str(OTHER), DECISIONS, "review")
    assert (second["id"], second["queue"], second["stage"]) == (str(LETTER), REQUESTS, "planning")
    assert (second["job"], second["attempt"]) == (JOB, 1)
    assert second["reason"] == "ValueError: \x1b[31mno"
    assert second["size_bytes"] > 10
    assert second["died"].endswith("Z")
    assert [each["id"] for each in listed(buried, f"--queue {REQUESTS}")] == [str(LETTER)]
    assert [each["id"] for each in listed(buried, "--limit 1")] == [str(OTHER)]


def test_the_table_shows_what_a_message_says_and_does_not_obey_it(buried: Home) -> None:
    out = buried.rdg("dlq list").out
    assert str(LETTER) in out
    assert "\x1b" not in out


def test_as_jsonl_each_letter_is_a_line(buried: Home) -> None:
    lines = buried.rdg("dlq list --format jsonl").out.splitlines()
    assert [json.loads(line)["id"] for line in lines] == [str(OTHER), str(LETTER)]


def test_a_home_without_dead_letters_says_so(full_home: Home) -> None:
    outcome = full_home.rdg("dlq list")
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "no dead letters\n")


def test_a_letter_is_shown_with_its_headers_traceback_and_body(buried: Home) -> None:
    shown = json.loads(buried.rdg(f"dlq show {LETTER} --format json").out)
    assert shown["letter"]["id"] == str(LETTER)
    assert shown["headers"]["ce-type"] == "io.rdg.rehearsal.requested.v1"
    assert shown["trace"] == f"Traceback of {LETTER}\n  line 2"
    assert shown["body"]["job"] == JOB
    assert shown["problem"] == ""

    out = buried.rdg(f"dlq show {LETTER}").out
    assert f"Traceback of {LETTER}\n  line 2\n" in out
    assert "body job " in out
    assert "\x1b" not in out


def test_replay_of_ids_leaves_the_others(buried: Home) -> None:
    outcome = buried.rdg(f"dlq replay {LETTER} {UUID(int=8)}")
    assert outcome.code == 0
    assert outcome.err.splitlines() == [
        f"not among the dead letters: {UUID(int=8)}",
        "1 put back",
    ]
    assert buried.depth(REQUESTS) == 1
    assert [each["id"] for each in listed(buried)] == [str(OTHER)]


def test_replay_of_a_queue_or_of_all(buried: Home) -> None:
    first = json.loads(buried.rdg(f"dlq replay --queue {REQUESTS} --format json").out)
    rest = json.loads(buried.rdg("dlq replay --all --format json").out)
    assert (first["count"], rest["count"]) == (1, 1)
    assert (buried.depth(REQUESTS), buried.depth(DECISIONS)) == (1, 1)
    assert listed(buried) == []


@pytest.mark.parametrize("made", [None, job("failed"), job("training", attempt=2)])
def test_replay_says_that_a_job_is_over_and_what_would_help(
    full_home: Home, made: Job | None
) -> None:
    if made:
        keep(full_home, made)
    full_home.bury(RehearsalRequested(id=LETTER, job=JOB), REQUESTS)
    outcome = full_home.rdg(f"dlq replay {LETTER}")
    assert (outcome.code, full_home.depth(REQUESTS)) == (0, 1)
    assert f"will be ignored; `rdg job retry {JOB}` asks again" in outcome.err


def test_purge_deletes_for_ever_and_asks_unless_ids_are_given(buried: Home) -> None:
    unasked = buried.rdg(f"dlq purge --queue {REQUESTS}")
    assert (unasked.code, "--force" in unasked.err, len(listed(buried))) == (4, True, 2)

    assert buried.rdg(f"dlq purge {LETTER}").err == "1 deleted\n"
    assert [each["id"] for each in listed(buried)] == [str(OTHER)]

    assert buried.rdg("dlq purge --force").err == "1 deleted\n"
    assert listed(buried) == []
    assert (buried.depth(REQUESTS), buried.depth(DECISIONS)) == (0, 0)


@pytest.mark.parametrize(
    ("line", "code", "says"),
    [
        (f"dlq show {OTHER} --queue {REQUESTS}", 1, f"no dead letter {OTHER} in {REQUESTS}"),
        ("dlq show nope", 1, "`rdg dlq list`"),
        ("dlq show", 4, "ID"),
        ("dlq replay nope", 1, "no dead letter nope"),
        ("dlq replay", 4, "give ids, --queue or --all"),
        ("dlq purge nope", 1, "no dead letter nope"),
        ("dlq purge", 4, "--force"),
        ("dlq list --limit 0", 4, "limit: 0 is out of range"),
        ("dlq list --queue nowhere", 1, "nowhere"),
        ("dlq list --bus unix:///nowhere/bus.sock", 2, "/nowhere/bus.sock"),
    ],
)
def test_every_refusal_is_one_line(buried: Home, line: str, code: int, says: str) -> None:
    outcome = buried.rdg(line)
    assert (outcome.code, len(outcome.err.splitlines())) == (code, 1), outcome.err
    assert says in outcome.err
    assert len(listed(buried)) == 2


def test_a_bus_that_nobody_has_declared_a_queue_on_says_what_to_start(home: Home) -> None:
    outcome = home.rdg("dlq list")
    assert (outcome.code, "start one with `rdg up`" in outcome.err) == (1, True)


@pytest.mark.rabbit
def test_it_works_on_a_broker_as_it_does_on_the_embedded_bus(
    full_home: Home, amqp_url: str, bus_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RDG_BUS", amqp_url)
    monkeypatch.setenv("RDG_NAMESPACE", bus_prefix)

    async def bury() -> None:
        async with connect(amqp_url, bus_prefix) as transport:
            await transport.declare(QUEUES)
            await transport.send(encode(RehearsalRequested(id=LETTER, job=JOB), "test"))
            async with transport.receive(REQUESTS, lambda each: each.bury("no", ""), 1, 5):
                await until_dead(transport, REQUESTS, 1)

    asyncio.run(bury())
    assert [each["id"] for each in listed(full_home)] == [str(LETTER)]
    assert full_home.rdg(f"dlq show {LETTER}").code == 0
    assert json.loads(full_home.rdg("dlq replay --all --format json").out)["count"] == 1
    assert listed(full_home) == []
