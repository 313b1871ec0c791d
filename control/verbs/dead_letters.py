"""Dead letters: messages that a stage could not do, each in the dead-letter queue of its queue.

Which queues there are is known to what works on them: a package names its own by an entry point in the group
`rdg.queues`, a function that returns them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import entry_points

import numpy as np
from pydantic import AwareDatetime, BaseModel, ConfigDict, JsonValue

from bus.bus import Bus, size_of
from bus.errors import Expired, Unreadable, Unroutable
from bus.transport import DEATH, DeadLetter, Envelope, Transport
from bus.wire import fields_of, topic_of
from control.verbs.errors import Invalid, Refused
from schemas.documents import Job
from store.base import Store
from store.errors import NotFound

GROUP = "rdg.queues"
MOST = 1_000  # letters of a queue that are looked at by one command
LONGEST_TEXT = 200
MOST_ITEMS = 20


class Letter(BaseModel):
    """A dead letter. `job` is empty if it is on behalf of none, `died` None if nobody said when."""

    model_config = ConfigDict(frozen=True)

    id: str
    queue: str
    stage: str
    topic: str
    job: str
    reason: str
    attempt: int
    died: AwareDatetime | None
    size_bytes: int


class LetterDetail(BaseModel):
    """A dead letter with all that it carries.

    Attributes:
        letter: What the list shows of it.
        headers: Its own, without those of its death.
        trace: Traceback of the handler; empty if the broker buried it.
        body: Its fields; arrays as dtype and shape, long texts and lists cut short. None if it cannot be read.
        problem: Why the body cannot be read.

    """

    model_config = ConfigDict(frozen=True)

    letter: Letter
    headers: dict[str, str]
    trace: str
    body: dict[str, JsonValue] | None
    problem: str = ""


class Taken(BaseModel):
    """What became of dead letters.

    Attributes:
        count: Letters that were put back, or deleted.
        missing: Ids that no letter has.
        over: Jobs that are over, or at a later attempt: stages ignore what is on behalf of those.

    """

    model_config = ConfigDict(frozen=True)

    count: int
    missing: tuple[str, ...] = ()
    over: tuple[str, ...] = ()


@dataclass(frozen=True)
class Choice:
    """Which dead letters are meant: those with these ids (None: all) in one queue (None: in every queue)."""

    queue: str | None = None
    ids: tuple[str, ...] | None = None

    @property
    def queues(self) -> tuple[str, ...]:
        """Names of the queues to look at."""
        return (self.queue,) if self.queue else installed_queues()


def installed_queues() -> tuple[str, ...]:
    """Return the names of all queues of the installed pipeline.

    Raises:
        Refused: None is installed here.

    """
    points = entry_points(group=GROUP)
    names = tuple(queue.name for point in points for queue in point.load()())
    if not names:
        raise Refused("no pipeline is installed here", "name a queue with --queue")
    return names


async def page(transport: Transport, choice: Choice, limit: int = 100) -> list[Letter]:
    """Return up to `limit` (1 to MOST) dead letters, the last that died first."""
    if not 1 <= limit <= MOST:
        raise Invalid("limit", f"{limit} is out of range", f"give 1 to {MOST}")
    found = [
        _letter(letter)
        for queue in await _holding(transport, choice.queues)
        for letter in await transport.dead(queue, limit, choice.ids)
    ]
    return sorted(found, key=lambda each: each.died.timestamp() if each.died else 0, reverse=True)[
        :limit
    ]


async def show(bus: Bus, message_id: str, queue: str | None = None) -> LetterDetail:
    """Return the dead letter with this id in one queue (None: in every queue), with its body.

    Raises:
        Refused: There is none.

    """
    choice = Choice(queue, (message_id,))
    for name in await _holding(bus.transport, choice.queues):
        if envelope := await bus.transport.letter(name, message_id):
            return await _detail(bus, envelope)
    raise _no_such(choice)


async def replay(store: Store, transport: Transport, choice: Choice) -> Taken:
    """Put dead letters back into the queues they died in, as they were published.

    Raises:
        Refused: There is none with these ids.
        Busy: A queue has no room for all; the rest are still dead letters.

    """
    queues = await _holding(transport, choice.queues)
    letters = await _meant(transport, queues, choice)
    over = await _over(store, letters)
    count = sum([await transport.replay(queue, choice.ids) for queue in queues])
    return Taken(count=count, missing=_missing(choice, letters), over=over)


async def purge(transport: Transport, choice: Choice) -> Taken:
    """Delete dead letters for ever.

    Raises:
        Refused: There is none with these ids.

    """
    queues = await _holding(transport, choice.queues)
    letters = await _meant(transport, queues, choice) if choice.ids else []
    count = sum([await transport.purge(queue, choice.ids) for queue in queues])
    return Taken(count=count, missing=_missing(choice, letters))


async def _meant(transport: Transport, queues: Sequence[str], choice: Choice) -> list[DeadLetter]:
    letters = [each for queue in queues for each in await transport.dead(queue, MOST, choice.ids)]
    if choice.ids and not letters:
        raise _no_such(choice)
    return letters


async def _holding(transport: Transport, queues: Sequence[str]) -> list[str]:
    """Return the queues that have dead letters; those that nobody has declared have none."""
    holding, absent = [], []
    for queue in queues:
        try:
            status = await transport.status(queue)
        except Unroutable as error:
            absent.append(error)
            continue
        if status.dead:
            holding.append(queue)
    if len(absent) == len(queues):
        raise absent[0]
    return holding


async def _over(store: Store, letters: Iterable[DeadLetter]) -> tuple[str, ...]:
    runs = {letter.headers.get("ce-subject", "") for letter in letters} - {""}
    return tuple(sorted({_job(run) for run in runs if not await _is_on(store, run)}))


async def _is_on(store: Store, run: str) -> bool:
    try:
        job = await store.get(Job, _job(run))
    except NotFound:
        return False
    return job.run == run and not job.is_over


def _job(run: str) -> str:
    return run.rpartition(".")[0]


def _missing(choice: Choice, letters: Iterable[DeadLetter]) -> tuple[str, ...]:
    found = {letter.id for letter in letters}
    return tuple(each for each in choice.ids or () if each not in found)


def _no_such(choice: Choice) -> Refused:
    where = f" in {choice.queue}" if choice.queue else ""
    names = ", ".join(choice.ids or ())
    return Refused(f"no dead letter {names}{where}", "`rdg dlq list` shows what there is")


def _letter(letter: DeadLetter) -> Letter:
    headers = letter.headers
    queue = headers["rdg-queue"]
    return Letter(
        id=letter.id,
        queue=queue,
        stage=queue.partition(".")[0],
        topic=topic_of(headers),
        job=_job(headers.get("ce-subject", "")),
        reason=headers["rdg-reason"],
        attempt=int(headers["rdg-attempt"]),
        died=_time(headers["rdg-died"]),
        size_bytes=size_of(letter),
    )


def _time(text: str) -> datetime | None:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return time if time.tzinfo else None


async def _detail(bus: Bus, envelope: Envelope) -> LetterDetail:
    body: dict[str, JsonValue] | None = None
    problem = ""
    try:
        fields = fields_of(await bus.body_of(envelope))
        body = {str(name): _summary(value) for name, value in fields.items()}
    except (Unreadable, Expired) as error:
        problem = str(error)
    return LetterDetail(
        letter=_letter(DeadLetter.of(envelope)),
        headers={name: text for name, text in envelope.headers.items() if name not in DEATH},
        trace=envelope.headers["rdg-trace"],
        body=body,
        problem=problem,
    )


def _summary(value: object) -> JsonValue:
    if isinstance(value, np.ndarray):
        return f"{value.dtype.name}[{','.join(map(str, value.shape))}]"
    if isinstance(value, dict):
        return {str(name): _summary(each) for name, each in value.items()}
    if isinstance(value, list):
        more = [f"… {len(value) - MOST_ITEMS} more"] if len(value) > MOST_ITEMS else []
        return [*map(_summary, value[:MOST_ITEMS]), *more]
    if isinstance(value, bool | int | float) or value is None:
        return value
    if isinstance(value, str):
        return value if len(value) <= LONGEST_TEXT else f"{value[:LONGEST_TEXT]}…"
    return f"{type(value).__name__} of {len(value)}" if isinstance(value, bytes) else str(value)
