"""What `benchmarks.rehearsal` compares: an arm is one way to rehearse, a table a set of arms on some data and seeds."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from learning.options import Options

DATA = ("mnist", "fashion-mnist")
BUDGETS = (8, 32, 128, 512)
EPOCHS = {"epochs": 4, "patience": 4, "batch_size": 128, "lr": 0.002, "schedule": "cosine"}
SUITED = {"mnist": {}, "fashion-mnist": {"augmentation": "shift+flip"}}  # clothes may be mirrored


@dataclass(frozen=True)
class Arm:
    """One way to rehearse.

    Attributes:
        generator: None rehearses nothing.
        options: The generator's.
        count: Samples a class that are rehearsed.
        training: Fields of schemas.job.Training other than all arms'.
        min_confidence: Of the deployed model in what it labels.
        labels: As in schemas.job.Labels.
        fits, from_scratch: As in schemas.job.RehearsalSpec.
        joint: All data at once instead of task after task.

    """

    generator: str | None = None
    options: Options = field(default_factory=dict)
    count: int = 2000
    training: Mapping[str, object] = field(default_factory=dict)
    min_confidence: float = 0.5
    labels: str = "hard"
    fits: str = "every"
    from_scratch: bool = False
    joint: bool = False


@dataclass(frozen=True)
class Table:
    """Arms side by side; `orders` are numbers of class orders, 0 the one of the labels."""

    title: str
    arms: tuple[str, ...]
    seeds: tuple[int, ...] = (0,)
    orders: tuple[int, ...] = (0,)
    data: tuple[str, ...] = DATA


GMM = Arm("gmm")
ARMS: dict[str, Arm] = {
    "naive": Arm(),
    "joint": Arm(joint=True),
    "gmm": GMM,
    "ga": Arm("ga", count=300),
    "ga-statistics": Arm("ga", {"start": "statistics"}, count=300),
    "gan": Arm("gan"),
    **{f"gmm-{size}": Arm("gmm", {"budget_kb": size}) for size in BUDGETS},
    **{f"gmm-{size}-4000": Arm("gmm", {"budget_kb": size}, count=4000) for size in BUDGETS},
    **{f"mix-{size}": Arm("mix", {"budget_kb": size}) for size in BUDGETS},
    **{
        f"original-{size}": Arm("original", {"budget_kb": size, "compress": True})
        for size in BUDGETS
    },
    **{f"original-raw-{size}": Arm("original", {"budget_kb": size}) for size in BUDGETS},
    "gmm full": replace(GMM, options={"covariance": "full"}),
    "gmm tied": replace(GMM, options={"covariance": "tied"}),
    "gmm diag": replace(GMM, options={"covariance": "diag"}),
    "gmm no lookup": replace(GMM, options={"lookup": False}),
    "gmm step 0.1": replace(GMM, options={"step": 0.1}),
    "gmm step 0.4": replace(GMM, options={"step": 0.4}),
    "no augmentation": replace(GMM, training={"augmentation": "none"}),
    "affine": replace(GMM, training={"augmentation": "affine"}),  # on clothes it drops the flip too
    "constant rate": replace(GMM, training={"schedule": "constant"}),
    "loss over all": replace(GMM, training={"new_loss": "all"}),
    "distillation": replace(GMM, training={"distillation": 0.5}),
    "calibrated": replace(GMM, training={"calibration": "bias"}),
    "no filter": replace(GMM, min_confidence=0.0),
    "strict filter": replace(GMM, min_confidence=0.9),
    "soft labels": replace(GMM, labels="soft"),
    "corrected labels": replace(GMM, labels="corrected"),
    "from scratch": replace(GMM, from_scratch=True, min_confidence=0.0),
    "500 samples": replace(GMM, count=500),
    "4000 samples": replace(GMM, count=4000),
}


def _rivals(size: int) -> tuple[str, ...]:
    return f"gmm-{size}", f"gmm-{size}-4000", f"original-{size}"


SEEDS = (0, 1, 2)
TABLES: dict[str, Table] = {
    "main": Table("Class-incremental accuracy", ("naive", "gmm", "4000 samples", "joint"), SEEDS),
    "orders": Table("Another order of the classes", ("gmm",), SEEDS, orders=(1,)),
    "bytes": Table(
        "Accuracy at equal bytes",
        tuple(name for size in (32, 128) for name in _rivals(size)),
        SEEDS,
    ),
    "sizes": Table(
        "What more bytes buy",
        tuple(
            f"{kind}-{size}"
            for size in BUDGETS
            for kind in ("gmm", "mix", "original", "original-raw")
        ),
    ),
    "others": Table("Other generators", ("gan", "ga-statistics", "ga")),
    "ablation": Table(
        "What each choice is worth",
        (
            "gmm",
            *(name for name, arm in ARMS.items() if " " in name),
            "affine",
            "distillation",
            "calibrated",
        ),
    ),
}
