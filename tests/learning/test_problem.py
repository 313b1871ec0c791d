"""What is to be learned: checked when it is made, and split the same way every time."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from learning.network import initial_parameters
from learning.problem import Examples, Options, Problem, held_out, validation_split
from learning.samples import fingerprints


def examples(*counts: int, first: int = 0, teacher_classes: int | None = None) -> Examples:
    """Return that many samples of class 0, 1, ...: all differ, and from those with another `first`."""
    labels = np.repeat(np.arange(len(counts)), counts)
    samples = first + np.arange(4 * len(labels), dtype=np.float32).reshape(-1, 4)
    teacher = None
    if teacher_classes is not None:
        teacher = np.full((len(labels), teacher_classes), 1 / teacher_classes, np.float32)
    return Examples(samples, labels, teacher)


GENERATED = examples(30, 30, first=1000)
PROBLEM = Problem("dense4", (4,), 3, examples(20, 10, 1), GENERATED, None, (2,))


def test_split_is_stratified_and_loses_nothing() -> None:
    split = validation_split(PROBLEM, Options(validation=0.1), seed=0)

    assert np.bincount(PROBLEM.new.labels[split.validation_new]).tolist() == [2, 1]
    assert np.bincount(PROBLEM.replay.labels[split.validation_rehearsal]).tolist() == [3, 3]
    new = np.concatenate([split.training_new, split.validation_new])
    rehearsal = np.concatenate([split.training_rehearsal, split.validation_rehearsal])
    assert np.sort(new).tolist() == list(range(31))
    assert np.sort(rehearsal).tolist() == list(range(60))


def test_only_the_seed_moves_the_split() -> None:
    first, again, other = (validation_split(PROBLEM, Options(), seed) for seed in (1, 1, 2))
    changed = validation_split(PROBLEM, Options(epochs=99, lr=0.5), 1)
    assert first.validation_new.tolist() == again.validation_new.tolist()
    assert first.validation_rehearsal.tolist() == changed.validation_rehearsal.tolist()
    assert first.validation_rehearsal.tolist() != other.validation_rehearsal.tolist()


def test_every_class_stays_in_training() -> None:
    problem = replace(PROBLEM, new=examples(1, 2, 3))
    split = validation_split(problem, Options(validation=0.5), seed=0)
    assert set(problem.new.labels[split.training_new]) == {0, 1, 2}
    assert set(problem.new.labels[split.validation_new]) == {1, 2}


def test_a_class_is_split_the_same_whatever_its_number_its_place_and_the_other_classes() -> None:
    new = PROBLEM.new
    held = held_out(new.samples, new.labels, 0.2, seed=3)

    renumbered = held_out(new.samples, np.array([7, 2, 5])[new.labels], 0.2, seed=3)
    reversed_ = held_out(new.samples[::-1], new.labels[::-1], 0.2, seed=3)
    alone = held_out(new.samples[20:30], new.labels[20:30], 0.2, seed=3)

    assert held.sum() == 4 + 2
    assert renumbered.tolist() == held.tolist()
    assert reversed_[::-1].tolist() == held.tolist()
    assert alone.tolist() == held[20:30].tolist()


def test_of_new_data_what_is_held_out_from_the_fit_is_held_out_from_training() -> None:
    split = validation_split(PROBLEM, Options(validation=0.3), seed=4)
    held = held_out(PROBLEM.new.samples, PROBLEM.new.labels, 0.3, seed=4)
    assert split.validation_new.tolist() == np.flatnonzero(held).tolist()


def contents(examples: Examples, indices: NDArray[np.int64]) -> set[int]:
    return set(fingerprints(examples.samples[indices]).tolist())


@pytest.mark.parametrize("seed", range(5))
def test_equal_samples_are_never_on_both_sides(seed: int) -> None:
    new, generated = examples(20, 10), examples(30, 30, first=1000)
    thrice = np.tile(np.arange(30), 3)
    mixed = Examples(
        np.concatenate([generated.samples, generated.samples[:40], new.samples[5:25]]),
        np.concatenate([generated.labels, generated.labels[:40], new.labels[5:25]]),
    )
    problem = replace(PROBLEM, new=new.take(thrice), rehearsal=mixed)

    split = validation_split(problem, Options(validation=0.3), seed)

    learned = contents(problem.new, split.training_new) | contents(mixed, split.training_rehearsal)
    judged = contents(problem.new, split.validation_new) | contents(
        mixed, split.validation_rehearsal
    )
    assert not learned & judged
    assert len(learned | judged) == 90
    assert len(contents(problem.new, split.validation_new)) == 6 + 3  # of what is distinct
    assert len(split.validation_new) == 3 * (6 + 3)


def test_a_rehearsal_sample_that_equals_a_held_out_one_never_trains() -> None:
    held = np.flatnonzero(held_out(PROBLEM.new.samples, PROBLEM.new.labels, 0.1, seed=0))
    problem = replace(PROBLEM, rehearsal=PROBLEM.new.take(held[:1]))
    split = validation_split(problem, Options(validation=0.1), seed=0)
    assert (split.training_rehearsal.tolist(), split.validation_rehearsal.tolist()) == ([], [0])


def test_one_sample_repeated_is_kept_for_training() -> None:
    repeated = examples(1).take(np.zeros(9, np.int64))
    problem = replace(
        PROBLEM, new=repeated, rehearsal=replace(repeated, labels=repeated.labels + 1)
    )
    split = validation_split(problem, Options(validation=0.5), seed=0)
    assert (len(split.training_new), len(split.training_rehearsal)) == (9, 9)


@pytest.mark.parametrize("seed", range(20))
def test_what_makes_up_much_of_a_class_trains(seed: int) -> None:
    patterns = np.repeat(np.arange(5, dtype=np.uint8), [600, 300, 60, 30, 10])[:, None]
    held = held_out(patterns, np.zeros(1000, np.int64), 0.1, seed)
    assert 10 <= held.sum() <= 100
    assert not held[:900].any()


def test_of_two_patterns_the_rarer_one_is_held_out() -> None:
    patterns = np.repeat(np.arange(2, dtype=np.uint8), [60, 40])[:, None]
    held = held_out(patterns, np.zeros(100, np.int64), 0.1, seed=0)
    assert held.tolist() == [False] * 60 + [True] * 40


def test_what_was_held_out_of_a_class_hardly_changes_as_it_grows() -> None:
    grown = np.random.default_rng(0).normal(size=(600, 4)).astype(np.float32)
    before, after = (held_out(grown[:n], np.zeros(n, np.int64), 0.1, seed=0) for n in (500, 600))
    assert (before.sum(), after.sum()) == (50, 60)
    assert (after[:500] & ~before).sum() <= 10


def test_zeros_of_either_sign_are_equal() -> None:
    rows = np.array([[0.0], [-0.0]], np.float32)
    assert len(set(fingerprints(rows).tolist())) == 1


def test_nothing_is_held_out_on_request() -> None:
    split = validation_split(PROBLEM, Options(validation=0), seed=0)
    assert (len(split.validation_new), len(split.validation_rehearsal)) == (0, 0)


def test_without_rehearsal_its_split_is_empty() -> None:
    split = validation_split(replace(PROBLEM, rehearsal=None), Options(), seed=0)
    assert (len(split.training_rehearsal), len(split.validation_rehearsal)) == (0, 0)


def test_taken_examples_keep_their_soft_labels() -> None:
    soft = np.array([[0.5, 0.5], [0.1, 0.9], [0.0, 1.0]], np.float32)
    taken = replace(examples(2, 1), soft=soft).take(np.array([2, 0]))
    assert taken.soft is not None
    assert taken.soft.tolist() == [[0, 1], [0.5, 0.5]]


@pytest.mark.parametrize(
    ("field", "soft", "said"),
    [
        ("new", np.full((31, 3), 1 / 3, np.float32), "new.soft: the labels of new data"),
        ("rehearsal", np.full((60, 2), 1 / 2, np.float32), r"float32 \(60, 2\), give .* \(60, 3\)"),
        ("rehearsal", np.full((60, 3), 1 / 3), r"float64 \(60, 3\), give float32"),
        ("rehearsal", np.full((60, 3), 1 / 2, np.float32), "rehearsal.soft: rows are no prob"),
        ("rehearsal", np.full((60, 3), np.nan, np.float32), "rehearsal.soft: rows are no prob"),
        ("rehearsal", np.tile(np.array([2, -1, 0], np.float32), (60, 1)), "rows are no prob"),
    ],
)
def test_soft_labels_are_probabilities_of_all_classes_for_rehearsal_alone(
    field: str, soft: NDArray[np.float32], said: str
) -> None:
    labelled = replace(getattr(PROBLEM, field), soft=soft)
    with pytest.raises(ValueError, match=said):
        replace(PROBLEM, **{field: labelled})


def test_the_task_is_about_its_data_and_what_the_base_does_not_know() -> None:
    problem = replace(PROBLEM, new=examples(2), new_classes=(2,))
    assert problem.taught_classes.tolist() == [0, 2]


def test_taken_examples_keep_their_teacher() -> None:
    taken = examples(2, 2, teacher_classes=2).take(np.array([3, 0]))
    assert taken.labels.tolist() == [1, 0]
    assert taken.samples[:, 0].tolist() == [12, 0]
    assert taken.teacher is not None
    assert taken.teacher.shape == (2, 2)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"architecture": "conv4"}, "'conv4' needs an image"),
        ({"n_classes": 2}, r"new.labels: 0 to 2, give 0 to 1"),
        ({"new": examples()}, "new.labels"),
        (
            {"new": Examples(np.zeros((2, 5), np.float32), np.array([0, 1]))},
            r"new.samples: \(2, 5\)",
        ),
        ({"rehearsal": Examples(np.zeros((2, 4), np.float32), np.array([0.0, 1]))}, "float64"),
        ({"rehearsal": examples(3, teacher_classes=4)}, r"rehearsal.teacher: \(3, 4\)"),
        (
            {
                "new": Examples(
                    np.zeros((1, 4), np.float32), np.array([0]), np.array([[np.nan]], np.float32)
                )
            },
            "new.teacher: NaN",
        ),
        ({"new_classes": (3,)}, r"new_classes: \(3,\), give classes below 3"),
        ({"base": initial_parameters("dense4", (4,), 5, 0)}, "n_classes: 3, give .* base's 5"),
        ({"base": initial_parameters("dense5", (4,), 2, 0)}, "parameters: 'backbone.0.bias'"),
    ],
)
def test_parts_that_do_not_belong_together_are_named(changes: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        replace(PROBLEM, **changes)  # type: ignore[arg-type]  # the mistakes under test


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("epochs", 0),
        ("batch_size", 1),
        ("lr", 0.0),
        ("lr", float("nan")),
        ("replay_ratio", 1.0),
        ("replay_ratio", 0.0),
        ("new_loss", "old"),
        ("distillation", -1.0),
        ("temperature", 0.5),
        ("validation", 0.6),
        ("patience", 0),
        ("schedule", "linear"),
        ("augmentation", "rotate"),
        ("calibration", "norm"),
    ],
)
def test_option_out_of_range_is_named(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"{field}: {value!r}, give "):
        Options(**{field: value})  # type: ignore[arg-type]  # the mistakes under test


def test_calibration_needs_held_out_samples() -> None:
    with pytest.raises(ValueError, match="calibration: 'bias' is fitted on held-out samples"):
        Options(calibration="bias", validation=0)
