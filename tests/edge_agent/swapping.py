"""Swaps versions in a state directory until it is killed: `python -m tests.edge_agent.swapping FOLDER`."""

import sys
from itertools import count
from pathlib import Path

from edge_agent.slots import opened
from tests.edge_agent.releases import release


def main(root: Path) -> None:
    """Keep one version after the other, and print each as soon as it is kept."""
    with opened(root) as slots:
        there = slots.load()
        running = there.manifest if there else None
        for version in count(running.version + 1 if running else 1):
            released = release(version)
            slots.keep(released.manifest, released.parts, running)
            running = released.manifest
            sys.stdout.write(f"{version}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
