"""Every verb's help carries an example, and the example works as it stands."""

from contextlib import nullcontext
from importlib import import_module

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from control.cli import OWN
from schemas.documents import JobState
from schemas.flow import RehearsalRequested
from store.base import Store
from tests.control.home import Home
from tests.control.world import JOB, LETTER, REQUESTS, job, rehearsal_set

NOUNS = [noun for noun, place in OWN.items() if place.startswith("control.commands.")]
STATES: dict[str, JobState] = {
    "cancel": "training",
    "retry": "failed",
    "approve": "reviewing",
    "reject": "reviewing",
}


def verbs() -> list[str]:
    found = []
    for noun in NOUNS:
        command = get_command(import_module(f"control.commands.{noun}").app)
        names = list(command.commands) if isinstance(command, TyperGroup) else [""]
        found += [f"{noun} {name}".strip() for name in names]
    return found


def example_of(text: str) -> str:
    lines = text[text.index("Example:") :].splitlines()[1:]
    [line] = [line.strip() for line in lines if line.strip()]
    return line


@pytest.mark.parametrize("verb", verbs())
def test_the_example_in_the_help_works(full_home: Home, verb: str) -> None:
    state = STATES.get(verb.split()[-1], "completed")

    async def prepare(store: Store) -> None:
        await store.insert(job(state))
        await store.insert(rehearsal_set())

    full_home.with_store(prepare)
    if verb == "data add":
        full_home.rdg("data delete zero-to-four --force")
    if verb.startswith("dlq "):
        full_home.bury(RehearsalRequested(id=LETTER, job=JOB), REQUESTS)
    if verb.startswith("keys "):
        full_home.rdg("keys create fleet.keys")

    example = example_of(full_home.rdg(f"{verb} --help").out)
    attended = full_home.worker("completed") if verb == "doctor" else nullcontext()
    with attended:
        outcome = full_home.rdg(example.removeprefix("rdg "))

    assert example.startswith(f"rdg {verb}")
    assert (outcome.code, "error" in outcome.err) == (0, False), outcome.err


def test_there_are_verbs_to_check() -> None:
    assert len(verbs()) >= 22
