"""What `benchmarks.rehearsal` compares: an arm is one way to rehearse, a table a set of arms on some data and seeds."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

from learning.augmentation import Augmentation
from learning.generators.coreset import Choice
from learning.options import Options

Judged = Literal["test", "development"]

DATA = ("mnist", "fashion-mnist")
BUDGETS = (8, 32, 128, 512)
EPOCHS = 4  # of each task, where an arm does not say otherwise; the rest are a job's defaults
SUITED: dict[str, Augmentation] = {
    "mnist": "shift",
    "fashion-mnist": "shift+flip",  # clothes may be mirrored
    "cifar-10": "shift+flip",
}


@dataclass(frozen=True)
class Arm:
    """One way to rehearse.

    Attributes:
        generator: None rehearses nothing.
        options: The generator's.
        count: Samples a class that are rehearsed.
        training: Fields of schemas.job.Training other than all arms'.
        min_confidence: Of the deployed model in what it labels.
        min_distance: As in schemas.job.Filter.
        labels: As in schemas.job.Labels.
        fits, from_scratch: As in schemas.job.RehearsalSpec.
        joint: All data at once instead of task after task.

    """

    generator: str | None = None
    options: Options = field(default_factory=dict)
    count: int = 2000
    training: Mapping[str, object] = field(default_factory=dict)
    min_confidence: float = 0.5
    min_distance: float = 0.0
    labels: str = "hard"
    fits: str = "every"
    from_scratch: bool = False
    joint: bool = False


@dataclass(frozen=True)
class Table:
    """Arms side by side.

    Attributes:
        orders: Numbers of class orders, 0 the one of the labels.
        judged: On which samples. "development" is a tenth of each class's training samples that no job is given: a
            table that defaults are chosen by is judged on it, so that what the test set says of them is not
            flattered by the choice.

    """

    title: str
    arms: tuple[str, ...]
    seeds: tuple[int, ...] = (0,)
    orders: tuple[int, ...] = (0,)
    data: tuple[str, ...] = DATA
    judged: Judged = "test"


GMM = Arm("gmm")
GA = Arm("ga", count=300)


def _original(size: int, choose: Choice, epochs: int = 4) -> Arm:
    """Return compressed originals; more epochs if they are to take as long as the mixture."""
    options: Options = {"budget_kb": size, "choose": choose}
    return Arm("original", options, training={"epochs": epochs})


RAW: Options = {"choose": "random", "compress": False}
GAN_WIDTHS = {32: 6, 128: 23}  # that take about so many KB of a class, two in a task
GA_DIMENSIONS = {8: 2, 32: 16, 128: 60}  # as these do
AS_LONG = {8: 8, 32: 8, 128: 6, 512: 4}  # epochs of originals that take the mixture's CPU time
ABLATION: dict[str, Arm] = {
    "gmm full": replace(GMM, options={"covariance": "full"}),
    "gmm tied": replace(GMM, options={"covariance": "tied"}),
    "gmm diag": replace(GMM, options={"covariance": "diag"}),
    "gmm no lookup": replace(GMM, options={"lookup": False}),
    "gmm step 0.02": replace(GMM, options={"step": 0.02}),
    "gmm step 0.1": replace(GMM, options={"step": 0.1}),
    "gmm step 0.4": replace(GMM, options={"step": 0.4}),
    "epochs auto": replace(GMM, training={"epochs": "auto"}),
    "rate 0.001": replace(GMM, training={"lr": 0.001}),
    "rate 0.004": replace(GMM, training={"lr": 0.004}),
    "batches of 64": replace(GMM, training={"batch_size": 64}),
    "no augmentation": replace(GMM, training={"augmentation": "none"}),
    "affine": replace(GMM, training={"augmentation": "affine"}),  # on clothes it drops the flip too
    "constant rate": replace(GMM, training={"schedule": "constant"}),
    "early stop": replace(GMM, training={"epochs": 8, "patience": 1}),
    "replay ratio 0.5": replace(GMM, training={"replay_ratio": 0.5}),
    "replay ratio 0.9": replace(GMM, training={"replay_ratio": 0.9}),
    "loss over all": replace(GMM, training={"new_loss": "all"}),
    "distillation": replace(GMM, training={"distillation": 0.5}),
    "calibrated": replace(GMM, training={"calibration": "bias"}),
    "no filter": replace(GMM, min_confidence=0.0),
    "strict filter": replace(GMM, min_confidence=0.9),
    "diverse": replace(GMM, min_distance=0.07),  # of 500 draws that costs about one in 30
    "soft labels": replace(GMM, labels="soft"),
    "corrected labels": replace(GMM, labels="corrected"),
    "from scratch": replace(GMM, from_scratch=True, min_confidence=0.0),
    "500 samples": replace(GMM, count=500),
    "1000 samples": replace(GMM, count=1000),
    "4000 samples": replace(GMM, count=4000),
}
KEEPING = {f"original-32 {choice}": _original(32, choice) for choice in get_args(Choice)}
ARMS: dict[str, Arm] = {
    "naive": Arm(),
    "joint": Arm(joint=True),
    "gmm": GMM,
    "plain training": replace(GMM, training={"augmentation": "none", "schedule": "constant"}),
    "ga": GA,
    "ga-mean": replace(GA, options={"start": "mean"}),
    "ga-noise": replace(GA, options={"start": "noise"}),
    "ga-unsearched": replace(  # the least there is: the model chooses one of two first draws
        GA, options={"population": 2, "generations": 1}
    ),
    "gan": Arm("gan"),
    **{f"gan-{size}": Arm("gan", {"width": width}) for size, width in GAN_WIDTHS.items()},
    **{
        f"ga-{size}": replace(GA, options={"dimensions": dimensions})
        for size, dimensions in GA_DIMENSIONS.items()
    },
    "gmm private": replace(GMM, options={"epsilon": 4.0}),
    **{f"gmm-{size}": Arm("gmm", {"budget_kb": size}) for size in BUDGETS},
    **{f"gmm-{size}-4000": Arm("gmm", {"budget_kb": size}, count=4000) for size in BUDGETS},
    **{f"mix-{size}": Arm("mix", {"budget_kb": size}) for size in BUDGETS},
    **{f"original-{size}": _original(size, "random") for size in BUDGETS},
    **{f"original-{size}-herding": _original(size, "herding", AS_LONG[size]) for size in BUDGETS},
    **{f"original-raw-{size}": Arm("original", {**RAW, "budget_kb": size}) for size in BUDGETS},
    **KEEPING,
    **ABLATION,
}


def _rivals(size: int) -> tuple[str, ...]:
    return f"gmm-{size}", f"gmm-{size}-4000", f"original-{size}", f"original-{size}-herding"


SEEDS = (0, 1, 2)
TABLES: dict[str, Table] = {
    "main": Table(
        "Class-incremental accuracy",
        ("naive", "gmm", "plain training", "4000 samples", "joint"),
        SEEDS,
    ),
    "orders": Table("Another order of the classes", ("gmm", "4000 samples"), SEEDS, orders=(1,)),
    "bytes": Table("Accuracy at equal bytes", (*_rivals(32), *_rivals(128)), SEEDS),
    "sizes": Table(
        "What more bytes buy",
        tuple(
            name
            for size in BUDGETS
            for name in (*_rivals(size), f"mix-{size}", f"original-raw-{size}")
        )
        + tuple(f"gan-{size}" for size in GAN_WIDTHS)
        + tuple(f"ga-{size}" for size in GA_DIMENSIONS),
    ),
    "others": Table(
        "Other generators", ("gan", "ga", "ga-unsearched", "ga-mean", "ga-noise", "gmm private")
    ),
    "keeping": Table("Which originals to keep", tuple(KEEPING), judged="development"),
    "ablation": Table("What each choice is worth", ("gmm", *ABLATION), judged="development"),
}
