"""What this system owns on a RabbitMQ broker, and how it is declared.

    work (topic)   -- routing key -->    QUEUE      -- delivery limit -->  dead (direct)
    dead (direct)  -- QUEUE -->          QUEUE.dlq
    the default exchange -->             QUEUE.later.4  -- after 4 s -->  QUEUE
    the default exchange -->             log.KEY, a stream

Every name begins with the namespace. Queues are quorum queues that refuse what they cannot hold, and hand dead
letters on at least once: a full queue holds back what would go there, it does not lose it. So each work queue has
waiting queues of its own, made when first needed: a full one holds back no other's retries. They stay, because a broker
deletes a queue that expires (x-expires) with all that is in it. Nothing here depends on a plug-in. Redeclaring what
exists as declared changes nothing; with other arguments the broker refuses it.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from aiormq.abc import AbstractChannel, FieldTable

from bus.transport import QUEUE_LIMIT, Queue

STEPS_S = (1, 2, 4, 8, 16, 32, 64)
"""The delays of a retry; any other is rounded up to the next of them, and the last is the longest."""

READ_LIMIT = 1_000_000  # reading dead letters hands them back, which counts as a delivery

LOG_ARGUMENTS: FieldTable = {
    "x-queue-type": "stream",
    "x-max-age": "30D",
    "x-max-length-bytes": 1 << 30,
    "x-stream-max-segment-size-bytes": 1
    << 26,  # what retention drops at a time; the last one stays
}


@dataclass(frozen=True)
class Names:
    """The names of one namespace on the broker."""

    namespace: str

    @property
    def work(self) -> str:
        """The exchange of all work."""
        return f"{self.namespace}.work"

    @property
    def dead(self) -> str:
        """The exchange of dead letters; routing key is the queue that they died in."""
        return f"{self.namespace}.dead"

    def queue(self, name: str) -> str:
        """Return the work queue's name on the broker."""
        return f"{self.namespace}.{name}"

    def dead_letters(self, name: str) -> str:
        """Return the name of a work queue's dead-letter queue."""
        return f"{self.namespace}.{name}.dlq"

    def waiting(self, name: str, step_s: int) -> str:
        """Return the name of the queue in which messages of a work queue wait for `step_s`."""
        return f"{self.namespace}.{name}.later.{step_s}"

    def log(self, key: str) -> str:
        """Return the name of a log's stream."""
        return f"{self.namespace}.log.{key}"


def step_for(delay_s: float) -> int:
    """Return the shortest step that is not shorter than the delay, or the longest step."""
    return next((step for step in STEPS_S if step >= delay_s), STEPS_S[-1])


async def declare_work(channel: AbstractChannel, names: Names, queues: Iterable[Queue]) -> None:
    """Declare the exchanges, the queues and their dead-letter queues, each bound."""
    await channel.exchange_declare(names.work, exchange_type="topic", durable=True)
    await channel.exchange_declare(names.dead, exchange_type="direct", durable=True)
    for queue in queues:
        name, dead = names.queue(queue.name), names.dead_letters(queue.name)
        await _declare_quorum(channel, dead, {"x-delivery-limit": READ_LIMIT})
        await channel.queue_bind(dead, names.dead, name)
        limits: FieldTable = {
            "x-max-length": queue.limit,
            "x-delivery-limit": queue.delivery_limit,
        }
        await _declare_quorum(channel, name, {**limits, **_dying_into(names.dead, name)})
        await channel.queue_bind(name, names.work, queue.key)


async def declare_waiting(channel: AbstractChannel, names: Names, queue: str, step_s: int) -> None:
    """Declare the queue in which messages of a work queue wait for `step_s`."""
    back = {"x-message-ttl": step_s * 1000, **_dying_into("", names.queue(queue))}
    await _declare_quorum(channel, names.waiting(queue, step_s), back)


async def declare_log(channel: AbstractChannel, names: Names, key: str) -> None:
    """Declare a log's stream."""
    await channel.queue_declare(names.log(key), durable=True, arguments=LOG_ARGUMENTS)


async def _declare_quorum(channel: AbstractChannel, name: str, arguments: FieldTable) -> None:
    limits: FieldTable = {
        "x-queue-type": "quorum",
        "x-overflow": "reject-publish",
        "x-max-length": QUEUE_LIMIT,
    }
    await channel.queue_declare(name, durable=True, arguments={**limits, **arguments})


def _dying_into(exchange: str, key: str) -> FieldTable:
    return {
        "x-dead-letter-exchange": exchange,
        "x-dead-letter-routing-key": key,
        "x-dead-letter-strategy": "at-least-once",
    }
