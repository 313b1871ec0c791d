"""`python -m workers STAGE…`: the same as `rdg worker STAGE…`."""

import typer

from workers.cli import worker

if __name__ == "__main__":
    typer.run(worker)
