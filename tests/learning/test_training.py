"""Training learns, does not forget with rehearsal, and resumes to the bit."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Literal
from unittest.mock import Mock, patch

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from learning.bundle import pack, unpack
from learning.inference import predict
from learning.metrics import accuracy
from learning.network import initial_parameters
from learning.problem import Examples, Options, Problem, validation_split
from learning.training import Checkpoint, advance, begin, is_done, progress, result

TEXT, SHAPE = "conv8 pool dense32", (8, 8)
QUICK = Options(epochs=3, batch_size=32, patience=3)


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def digits() -> Examples:
    images, labels = load_digits(return_X_y=True)
    return Examples((images.reshape(-1, 8, 8) * 15.9).astype(np.uint8), labels.astype(np.int64))


def of_classes(examples: Examples, classes: range, each: int) -> Examples:
    indices = [np.flatnonzero(examples.labels == label)[:each] for label in classes]
    return examples.take(np.concatenate(indices))


def never() -> bool:
    return False


def train(problem: Problem, options: Options, seed: int = 0) -> Checkpoint:
    return advance(problem, begin(problem, options, seed), options, seed, never)


def first_task(digits: Examples, each: int = 100) -> Problem:
    return Problem(TEXT, SHAPE, 5, of_classes(digits, range(5), each), None, None, (0, 1, 2, 3, 4))


def second_task(digits: Examples, rehearsal: Examples | None) -> Problem:
    base = initial_parameters(TEXT, SHAPE, 5, seed=9)
    new = of_classes(digits, range(5, 10), 40)
    return Problem(TEXT, SHAPE, 10, new, rehearsal, base, (5, 6, 7, 8, 9))


def taught(examples: Examples, k: int) -> Examples:
    return replace(examples, teacher=guesses(examples, k))


def guesses(examples: Examples, k: int) -> NDArray[np.float32]:
    return np.random.default_rng(0).dirichlet(np.ones(k), len(examples)).astype(np.float32)


def enlarged(problem: Problem) -> Problem:
    """Return the problem with images of 24x24: large enough to be shifted."""
    grown = {
        field: replace(examples, samples=np.kron(examples.samples, np.ones((1, 3, 3), np.uint8)))
        for field in ("new", "rehearsal")
        if (examples := getattr(problem, field)) is not None
    }
    base = initial_parameters(TEXT, (24, 24), 5, seed=9)
    return replace(problem, shape=(24, 24), base=base, **grown)


def test_first_training_needs_no_base_and_no_rehearsal(digits: Examples) -> None:
    parameters = result(train(first_task(digits), Options(epochs=30, batch_size=32)))
    unseen = digits.take(np.flatnonzero((digits.labels < 5) & (np.arange(len(digits)) > 1200)))
    predictions = predict(TEXT, parameters, unseen.samples).argmax(axis=1)
    assert accuracy(unseen.labels, predictions) > 0.88


def test_rehearsal_prevents_forgetting(digits: Examples) -> None:
    options = Options(epochs=8, batch_size=32, patience=8)
    base = result(train(first_task(digits), options))
    old = of_classes(digits, range(5), 100)

    def old_accuracy(rehearsal: Examples | None) -> float:
        problem = replace(second_task(digits, rehearsal), base=base)
        parameters = result(train(problem, options))
        return accuracy(old.labels, predict(TEXT, parameters, old.samples).argmax(axis=1))

    assert old_accuracy(None) < 0.4
    assert old_accuracy(of_classes(digits, range(5), 30)) > 0.85


Make = Callable[[Examples], Problem]
RECIPES: Mapping[str, tuple[Make, Options]] = {
    "first": (lambda d: first_task(d, 30), QUICK),
    "rehearsal": (lambda d: second_task(d, of_classes(d, range(5), 20)), QUICK),
    "local": (
        lambda d: second_task(d, of_classes(d, range(10), 15)),
        replace(QUICK, new_loss="new", replay_ratio=0.3),
    ),
    "distilled": (
        lambda d: second_task(d, taught(of_classes(d, range(5), 20), 5)),
        replace(QUICK, distillation=0.5, validation=0),
    ),
    "soft labels": (
        lambda d: second_task(
            d, replace(of_classes(d, range(10), 10), soft=guesses(of_classes(d, range(10), 10), 10))
        ),
        replace(QUICK, new_loss="new"),
    ),
    "augmented": (
        lambda d: enlarged(second_task(d, of_classes(d, range(5), 20))),
        replace(QUICK, augmentation="affine+flip", epochs=2),
    ),
    "annealed and calibrated": (
        lambda d: second_task(d, of_classes(d, range(5), 20)),
        replace(QUICK, schedule="cosine", calibration="bias"),
    ),
    "known classes": (
        lambda d: replace(second_task(d, of_classes(d, range(10), 10)), new_classes=()),
        replace(QUICK, new_loss="new"),
    ),
}


@pytest.mark.parametrize("recipe", RECIPES)
def test_resumed_training_is_bit_identical(recipe: str, digits: Examples) -> None:
    make, options = RECIPES[recipe]
    problem = make(digits)
    whole = train(problem, options, seed=5)

    pauses = np.random.default_rng(0)
    checkpoint: Mapping[str, NDArray[np.generic]] = begin(problem, options, seed=5)
    slices = 0
    while not is_done(checkpoint, options):
        torch.manual_seed(slices)  # whatever ran before must not matter
        checkpoint = unpack(pack(checkpoint))
        checkpoint = advance(problem, checkpoint, options, 5, lambda: bool(pauses.random() < 0.3))
        slices += 1

    assert slices > 3
    assert pack(checkpoint) == pack(whole)


def test_training_runs_on_one_thread_so_that_cores_do_not_decide_the_bits(
    digits: Examples,
) -> None:
    torch.set_num_threads(2)
    problem = first_task(digits, 20)
    done = advance(
        problem, begin(problem, QUICK, 0), QUICK, 0, lambda: torch.get_num_threads() != 1
    )
    assert torch.get_num_threads() == 1
    assert is_done(done, QUICK)


def test_seed_decides_the_result(digits: Examples) -> None:
    first, other = (pack(result(train(first_task(digits, 20), QUICK, seed))) for seed in (1, 2))
    assert first != other


def test_pause_is_asked_after_every_step(digits: Examples) -> None:
    problem = first_task(digits, 30)
    should_pause = Mock(return_value=False)
    advance(problem, begin(problem, QUICK, 0), QUICK, 0, should_pause)
    assert should_pause.call_count == QUICK.epochs * -(-27 * 5 // 32)


def test_every_call_makes_progress_until_done(digits: Examples) -> None:
    problem = first_task(digits, 20)
    checkpoint = begin(problem, QUICK, 0)
    seen = [progress(checkpoint, QUICK)]
    while not is_done(checkpoint, QUICK):
        checkpoint = advance(problem, checkpoint, QUICK, 0, lambda: True)
        seen.append(progress(checkpoint, QUICK))
    assert seen[0] == 0.0
    assert seen[-1] == 1.0
    assert all(before < after for before, after in pairwise(seen))


def test_finished_training_is_left_as_it_is(digits: Examples) -> None:
    problem = first_task(digits, 20)
    done = train(problem, QUICK)
    assert pack(advance(problem, done, QUICK, 0, never)) == pack(done)


def test_advance_leaves_its_checkpoint_unchanged(digits: Examples) -> None:
    problem = first_task(digits, 20)
    start = begin(problem, QUICK, 0)
    before = pack(start)
    advance(problem, start, QUICK, 0, never)
    assert pack(start) == before


@pytest.mark.parametrize("patience", [2, None])
def test_the_best_is_kept_whatever_ends_training(patience: int | None, digits: Examples) -> None:
    shuffled = np.random.default_rng(0).integers(0, 5, 100)  # nothing to learn, much to overfit
    problem = replace(first_task(digits), new=Examples(digits.samples[:100], shuffled))
    options = Options(batch_size=64, patience=patience)

    checkpoint = train(problem, options)

    updates, stale = checkpoint["updates"].item(), checkpoint["stale"].item()
    assert (updates < 600 and stale == 2) if patience else (updates == 600 and stale > 2)
    assert progress(checkpoint, options) == 1.0
    last = checkpoint["parameters/head.weight"]
    assert not np.array_equal(result(checkpoint)["head.weight"], last)


def test_without_held_out_samples_all_epochs_are_trained_and_the_last_wins(
    digits: Examples,
) -> None:
    options = replace(QUICK, validation=0, patience=1)
    checkpoint = train(first_task(digits, 20), options)
    assert checkpoint["epoch"] == options.epochs
    np.testing.assert_array_equal(
        result(checkpoint)["head.weight"], checkpoint["parameters/head.weight"]
    )


def test_new_loss_never_pushes_the_old_rows_by_new_samples(digits: Examples) -> None:
    problem = second_task(digits, None)
    options = replace(QUICK, new_loss="new", validation=0)
    parameters = result(train(problem, options))
    assert problem.base is not None
    np.testing.assert_array_equal(parameters["head.weight"][:5], problem.base["head.weight"])
    assert not np.array_equal(parameters["head.weight"][5:], np.zeros((5, 32)))


def test_new_loss_needs_rehearsal_of_the_new_classes(digits: Examples) -> None:
    problem = second_task(digits, of_classes(digits, range(8), 5))
    with pytest.raises(ValueError, match=r"new_loss: 'new' needs .* none of \[8, 9\]"):
        begin(problem, replace(QUICK, new_loss="new"), 0)


def test_images_are_changed_anew_in_every_step_and_only_in_training(digits: Examples) -> None:
    problem = enlarged(second_task(digits, of_classes(digits, range(5), 20)))
    seen: list[NDArray[np.float32]] = []

    def changed(images: NDArray[np.float32], *_: object) -> NDArray[np.float32]:
        seen.append(images)
        return images

    with patch("learning.training.augment", changed):
        plain = train(problem, replace(QUICK, augmentation="none"))
        steps = len(seen)
        patched = train(problem, replace(QUICK, augmentation="shift"))
    shifted = train(problem, replace(QUICK, augmentation="shift"))

    assert plain["updates"] == steps
    assert len(seen) == 2 * steps
    assert {len(images) for images in seen} == {QUICK.batch_size}
    assert pack(result(patched)) == pack(result(plain))
    assert pack(result(shifted)) != pack(result(plain))
    other = train(problem, replace(QUICK, augmentation="shift"), seed=1)
    assert pack(result(other)) != pack(result(shifted))


def test_tabular_samples_cannot_be_augmented(digits: Examples) -> None:
    flat = (digits.samples[:50].reshape(-1, 64) / np.float32(255)).astype(np.float32)
    new = Examples(flat, digits.labels[:50])
    problem = Problem("dense8", (64,), 10, new, None, None, tuple(range(10)))
    with pytest.raises(ValueError, match="augmentation: 'shift' is for images"):
        begin(problem, replace(QUICK, augmentation="shift"), 0)


def test_a_cosine_ends_in_small_steps(digits: Examples) -> None:
    problem = first_task(digits, 20)

    def head(checkpoint: Checkpoint) -> NDArray[np.float64]:
        return checkpoint["parameters/head.weight"].astype(np.float64)

    def last_step(options: Options) -> float:
        kept: list[Checkpoint] = [begin(problem, options, 0)]
        while not is_done(kept[-1], options):
            kept = [*kept[-1:], advance(problem, kept[-1], options, 0, lambda: True)]
        before, after = (head(each) for each in kept)
        return float(np.abs(after - before).max())

    cosine = replace(QUICK, validation=0)
    assert last_step(cosine) < last_step(replace(cosine, schedule="constant")) / 5


def test_soft_labels_are_learned_instead_of_labels(digits: Examples) -> None:
    old = of_classes(digits, range(5), 30)
    undecided = np.tile(np.array([0.6] + [0.1] * 4 + [0] * 5, np.float32), (len(old), 1))
    options = replace(QUICK, epochs=15, validation=0, lr=1e-2)

    def said_of_old(rehearsal: Examples) -> NDArray[np.float32]:
        trained = result(train(second_task(digits, rehearsal), options))
        return np.asarray(predict(TEXT, trained, old.samples).mean(axis=0))

    np.testing.assert_allclose(said_of_old(replace(old, soft=undecided)), undecided[0], atol=0.1)
    np.testing.assert_allclose(said_of_old(old), [0.2] * 5 + [0] * 5, atol=0.1)


def test_calibration_changes_the_rows_of_new_classes_alone(digits: Examples) -> None:
    problem = second_task(digits, of_classes(digits, range(5), 20))
    plain, calibrated = (
        result(train(problem, replace(QUICK, calibration=kind))) for kind in ("none", "bias")
    )
    changed = {name for name in plain if not np.array_equal(plain[name], calibrated[name])}
    assert changed == {"head.weight", "head.bias"}
    for name in changed:
        np.testing.assert_array_equal(plain[name][:5], calibrated[name][:5])
        assert (plain[name][5:] != calibrated[name][5:]).all()


def test_calibration_makes_held_out_samples_more_likely(digits: Examples) -> None:
    problem = second_task(digits, of_classes(digits, range(5), 6))
    options = replace(QUICK, epochs=8, replay_ratio=0.1, validation=0.4)
    split = validation_split(problem, options, 0)
    held = [problem.new.take(split.validation_new), problem.replay.take(split.validation_rehearsal)]

    def surprise(kind: Literal["none", "bias"]) -> float:
        """Return the mean over classes of -log probability."""
        trained = result(train(problem, replace(options, calibration=kind)))
        p = np.concatenate([predict(TEXT, trained, each.samples) for each in held])
        labels = np.concatenate([each.labels for each in held])
        losses = -np.log(p[np.arange(len(p)), labels])
        return float(np.mean([losses[labels == label].mean() for label in range(10)]))

    assert surprise("bias") < surprise("none") - 0.05


def test_without_old_classes_or_held_out_samples_there_is_nothing_to_calibrate(
    digits: Examples,
) -> None:
    for problem in (first_task(digits, 20), second_task(digits, None), first_task(digits, 1)):
        plain, calibrated = (
            result(train(problem, replace(QUICK, calibration=kind))) for kind in ("none", "bias")
        )
        assert pack(plain) == pack(calibrated)


def test_distillation_needs_a_teacher(digits: Examples) -> None:
    with pytest.raises(ValueError, match="distillation: no examples have a teacher"):
        begin(first_task(digits), replace(QUICK, distillation=1.0), 0)


def test_distillation_draws_the_network_to_its_teacher(digits: Examples) -> None:
    examples = of_classes(digits, range(5), 20)
    teacher = np.full((len(examples), 5), 0.2, np.float32)
    problem = replace(first_task(digits), new=replace(examples, teacher=teacher))
    options = replace(QUICK, epochs=10, validation=0, lr=1e-2)

    def confidence(distillation: float) -> float:
        trained = result(train(problem, replace(options, distillation=distillation)))
        return float(predict(TEXT, trained, examples.samples).max(axis=1).mean())

    assert confidence(50.0) < 0.4 < 0.8 < confidence(0.0)


def test_tabular_float_samples_train(digits: Examples) -> None:
    flat = (digits.samples.reshape(-1, 64) / np.float32(255)).astype(np.float32)[:400]
    labels = digits.labels[:400]
    problem = Problem("dense32", (64,), 10, Examples(flat, labels), None, None, tuple(range(10)))
    parameters = result(train(problem, Options(epochs=15, batch_size=32)))
    assert accuracy(labels, predict("dense32", parameters, flat).argmax(axis=1)) > 0.9


def test_diverging_loss_is_an_error_not_a_model(digits: Examples) -> None:
    new = Examples(np.full((4, 3), 3e38, np.float32), np.array([0, 1, 0, 1]))
    problem = Problem("dense8 dense8", (3,), 2, new, None, None, (0, 1))
    options = Options(lr=10, batch_size=2, validation=0, epochs=100)
    with pytest.raises(FloatingPointError, match="use a smaller lr"):
        train(problem, options)


@pytest.mark.parametrize("lacking", ["epoch", "split", "best/", "first_moment/"])
def test_incomplete_checkpoint_is_refused(lacking: str, digits: Examples) -> None:
    problem = first_task(digits, 20)
    checkpoint = {
        name: array
        for name, array in begin(problem, QUICK, 0).items()
        if not name.startswith(lacking)
    }
    with pytest.raises(ValueError, match=f"checkpoint: '{lacking}' is missing"):
        advance(problem, checkpoint, QUICK, 0, never)


@pytest.mark.parametrize(("each", "seed"), [(90, 0), (20, 1)])
def test_checkpoint_of_other_samples_is_refused(each: int, seed: int, digits: Examples) -> None:
    checkpoint = begin(first_task(digits, 20), QUICK, 0)
    with pytest.raises(ValueError, match="checkpoint: made for other examples or options"):
        advance(first_task(digits, each), checkpoint, QUICK, seed, never)


def test_negative_seed_is_refused(digits: Examples) -> None:
    with pytest.raises(ValueError, match="seed: -1"):
        begin(first_task(digits), QUICK, -1)
