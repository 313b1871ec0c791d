"""The pipeline as a value: what is in it, that it is closed, and that its picture is true."""

import re
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from bus.stage import AnyStage
from learning.generators import BUILT_IN
from schemas import flow
from store.base import Store
from workers import pipeline
from workers.pipeline import PIPELINE, described, load
from workers.resources import Resources

FOLDER = Path(pipeline.__file__).parent
FROM_OUTSIDE = {"RehearsalRequested", "DeviceReported"}  # published by people and by devices


def test_commands_find_the_queues_of_the_pipeline_by_their_entry_point() -> None:
    found = [point.load() for point in entry_points(group="rdg.queues")]
    assert pipeline.queues in found
    assert {queue for stage in stages() for queue in stage.queues} <= set(pipeline.queues())


def stages() -> list[AnyStage]:
    return described(PIPELINE, BUILT_IN)


def names(kinds: tuple[type, ...]) -> set[str]:
    return {kind.__name__ for kind in kinds} - {"Progress"}


def drawn() -> dict[str, tuple[set[str], set[str]]]:
    """What the comments beside PIPELINE say that each stage takes and makes."""
    source = (FOLDER / "pipeline.py").read_text()
    block = source.partition("PIPELINE = (")[2].partition("\n)")[0]
    flows: dict[str, tuple[set[str], set[str]]] = {}
    for line in block.strip().splitlines():
        name = re.match(r'\s*"(\w+)",', line)
        taken, _, made = line.partition("#")[2].rpartition("->")
        if name:
            last = name[1]
            flows[last] = (set(), set())
        flows[last][0].update(re.findall(r"[A-Z]\w+", taken))
        flows[last][1].update(re.findall(r"[A-Z]\w+", made))
    return flows


def test_every_file_that_is_a_stage_is_a_line_of_the_pipeline() -> None:
    files = {path.stem for path in FOLDER.glob("*.py") if "\ndef stage(" in path.read_text()}

    assert files == set(PIPELINE)


def test_every_stage_has_the_name_of_its_line() -> None:
    assert tuple(stage.name for stage in stages()) == PIPELINE


def test_every_input_is_made_by_some_stage_or_comes_from_outside() -> None:
    made = set().union(*(names(stage.produces) for stage in stages()))
    taken = set().union(*(names(stage.consumes) for stage in stages()))

    assert taken - made == FROM_OUTSIDE
    assert made - taken == {"ModelReleased"}  # for devices


def test_every_message_of_the_flow_has_a_stage() -> None:
    used = set().union(*({*stage.consumes, *stage.produces} for stage in stages()))

    assert used == set(flow.FLOW)


def test_the_picture_in_the_comments_is_what_the_stages_do() -> None:
    built = {stage.name: (names(stage.consumes), names(stage.produces)) for stage in stages()}

    assert drawn() == built


def test_a_routed_message_has_a_queue_for_each_generator() -> None:
    generation = next(stage for stage in stages() if stage.name == "generation")

    keys = {queue.key for queue in generation.queues}

    assert {f"generation.requested.v1.{name}" for name in BUILT_IN} <= keys


def test_an_unknown_stage_is_refused_with_those_that_exist(store: Store) -> None:
    with pytest.raises(ValueError, match="stage 'planing' is unknown; there are planning, fit"):
        load("planing", Resources(store, ()))


def test_no_stage_loads_torch_before_it_trains() -> None:
    script = (
        "import sys; from workers.pipeline import PIPELINE, described; described(PIPELINE, ('gan',));"
        "print('torch' in sys.modules, 'sklearn' in sys.modules)"
    )

    ran = subprocess.run(
        [sys.executable, "-c", script],
        cwd=FOLDER.parent,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert ran.stdout.split() == ["False", "False"]
