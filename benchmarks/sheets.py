"""What each generator draws, to be looked at: a contact sheet of each, a row for each class.

    python -m benchmarks.sheets --data mnist fashion-mnist --out docs/images
    python -m benchmarks.sheets --kinds gmm mix

Each generator is fitted on some real records of each class; `original` shows what it should look like. Needs
`RDG_DATA_DIR`, or downloads.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from benchmarks.arms import DATA
from benchmarks.privacy import records_of, sampler
from control.sheet import contact_sheet
from learning.generators import load
from learning.generators.base import Order
from learning.options import Options

DRAWN: dict[str, tuple[str, Options]] = {
    "original": ("original", {}),
    "gmm": ("gmm", {}),
    "gmm-8kb": ("gmm", {"budget_kb": 8}),
    "gmm-private": ("gmm", {"epsilon": 4.0}),
    "mix": ("mix", {}),
    "gan": ("gan", {"steps": 2000}),
    "ga": ("ga", {}),
    "ga-mean": ("ga", {"start": "mean"}),
    "ga-noise": ("ga", {"start": "noise"}),
}
SHOWN = 16


def draw(data: str, kinds: Sequence[str], records: int, seed: int, folder: Path) -> None:
    """Write a sheet for each of the generators named."""
    training = records_of(data, records, seed).training
    for name in kinds:
        kind, options = DRAWN[name]
        generator = load(kind)
        state = generator.fit(training, options, seed, None, lambda: False).state
        sample = sampler(generator, Order(state, 0, SHOWN, seed, options), training)
        rows = [(str(label), sample(label)) for label in training.classes()]
        print(contact_sheet(rows, folder / f"sheet-{data}-{name}.png"))


def main() -> None:
    """Draw the sheets asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", nargs="+", choices=DATA, default=list(DATA))
    parser.add_argument("--kinds", nargs="+", choices=DRAWN, default=list(DRAWN))
    parser.add_argument("--records", type=int, default=1500, help="a class, that are fitted")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("out/sheets"))
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for data in arguments.data:
        draw(data, arguments.kinds, arguments.records, arguments.seed, arguments.out)


if __name__ == "__main__":
    main()
