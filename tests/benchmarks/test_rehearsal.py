"""What the comparison of generators is judged on, what it keeps of a run, and that every arm can be asked for."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.arms import ARMS, TABLES, Table
from benchmarks.rehearsal import Case, Run, development, read, table
from control.sources import Labelled
from learning.generators import load
from schemas.job import Filter, Training
from tests.pipeline.system import digits

CASE = Case("mnist", "plain training", order=0, seed=2)
RUN = Run(
    CASE,
    matrix=[[1.0, float("nan")], [0.5, 0.75]],
    accuracy=0.625,
    bytes_per_class=1024.0,
    seconds=60.0,
)


def train() -> Labelled:
    samples, labels = digits("train")
    return Labelled(samples, labels, tuple("0123456789"))


def rows(labelled: Labelled) -> list[bytes]:
    return [sample.tobytes() for sample in labelled.samples]


def test_choices_are_judged_on_a_tenth_of_each_class_that_no_job_is_given() -> None:
    given = train()

    splits = development(given)

    assert splits.test is not None
    counts = [np.bincount(part.labels) for part in (splits.test, given)]
    assert np.abs(counts[0] - counts[1] / 10).max() <= 1
    assert not set(rows(splits.test)) & set(rows(splits.train))
    assert sorted(rows(splits.test) + rows(splits.train)) == sorted(rows(given))


def test_every_run_is_judged_on_the_same_samples() -> None:
    one, other = development(train()), development(train())

    assert rows(one.train) == rows(other.train)


def test_a_result_judged_on_the_test_set_keeps_the_name_that_it_had() -> None:
    assert CASE.name == "mnist.plain_training.0.2.json"
    assert replace(CASE, judged="development").name == "mnist.plain_training.0.2.development.json"


def test_a_result_that_does_not_say_so_was_judged_on_the_test_set(tmp_path: Path) -> None:
    fields = asdict(RUN)
    del fields["case"]["judged"]
    (tmp_path / CASE.name).write_text(json.dumps(fields))

    (run,) = read(tmp_path)

    assert run.case == CASE
    assert run.case.judged == "test"


def test_a_table_shows_each_task_of_its_own_runs_and_says_what_it_is_judged_on() -> None:
    elsewhere = replace(RUN, case=replace(CASE, judged="development"), matrix=[[0.0, 0.0]])
    asked = Table("All", ("plain training",), seeds=(2,), data=("mnist",))

    shown = table(asked, [RUN, elsewhere])

    assert "| mnist | plain training | 62.50 ± 0.00 | 50.0 / 75.0 | 50.0 | -50.0 | 1.0 |" in shown
    assert "judged on test samples" in shown
    assert "0.0 / 0.0" in table(replace(asked, judged="development"), [RUN, elsewhere])


@pytest.mark.parametrize("name", ARMS)
def test_what_an_arm_asks_for_exists(name: str) -> None:
    arm = ARMS[name]

    Training.model_validate(arm.training)
    Filter(min_confidence=arm.min_confidence, min_distance=arm.min_distance)
    if arm.generator:
        load(arm.generator).validate(arm.options)


def test_tables_compare_arms_that_there_are() -> None:
    assert {name for each in TABLES.values() for name in each.arms} <= ARMS.keys()
