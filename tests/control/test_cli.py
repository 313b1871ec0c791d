"""The command as a whole: what it imports, what others mount on it, how it ends."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from control import cli
from schemas.flow import Progress
from store.base import Store
from tests.control.home import Home
from tests.control.world import JOB, job

RDG = (sys.executable, "-m", "control.cli")
HEAVY = ("torch", "sklearn", "matplotlib", "numpy", "rich", "PIL", "httpx", "pydantic")


def imported(*args: str) -> set[str]:
    """Return what a command imports, asked of a process of its own."""
    code = (
        "import sys; from control.cli import run; run(sys.argv[1:]); "
        "print('\\n' + ' '.join(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code, *args], capture_output=True, text=True)
    return set(done.stdout.splitlines()[-1].split())


def test_help_imports_nothing_that_takes_long() -> None:
    assert imported("--help").isdisjoint(HEAVY)


@pytest.mark.parametrize("line", ["job list", "model list", "job submit --help"])
def test_reading_needs_no_mathematics(home: Home, line: str) -> None:
    assert imported(*line.split()).isdisjoint({"torch", "sklearn", "matplotlib", "PIL"})


def test_the_version_is_printed(home: Home) -> None:
    outcome = home.rdg("--version")
    assert (outcome.code, outcome.out[:4]) == (0, "rdg ")


@pytest.mark.parametrize("line", ["", "--help", "-h", "job", "job --help", "doctor --help"])
def test_whoever_asks_for_nothing_is_helped(home: Home, line: str) -> None:
    outcome = home.rdg(line)
    assert (outcome.code, outcome.err) == (0, "")
    assert "Usage: rdg" in outcome.out


def test_help_names_every_noun(home: Home) -> None:
    out = home.rdg("--help").out
    for noun in cli.OWN:
        assert f"\n  {noun} " in out


@pytest.mark.parametrize(
    ("line", "says"),
    [("jop", "Did you mean 'job'"), ("job shwo", "Did you mean 'show'"), ("--nope", "--nope")],
)
def test_a_word_that_is_mistyped_is_a_bad_argument(home: Home, line: str, says: str) -> None:
    outcome = home.rdg(line)
    assert (outcome.code, len(outcome.err.splitlines())) == (4, 1)
    assert says in outcome.err


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package of somebody else's that mounts two commands, one of them under a name of ours."""
    info = tmp_path / "greeter-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: greeter\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        f"[{cli.GROUP}]\ngreet = greeter:greet\njob = greeter:greet\nlost = greeter:nowhere\n"
    )
    (tmp_path / "greeter.py").write_text(
        "def greet(name: str) -> None:\n    print('hello', name)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))


def test_a_package_of_others_mounts_a_command(home: Home, plugin: None) -> None:
    assert "From greeter." in home.rdg("--help").out
    assert home.rdg("greet ada").out == "hello ada\n"
    assert home.rdg("greet").code == 4


def test_a_noun_of_ours_cannot_be_taken(home: Home, plugin: None) -> None:
    assert home.rdg("job list --format json").out == "[]\n"


def test_a_broken_package_breaks_its_own_command_only(home: Home, plugin: None) -> None:
    outcome = home.rdg("lost")
    assert (outcome.code, len(outcome.err.splitlines())) == (5, 1)
    assert home.rdg("job list").code == 0


def test_a_bug_is_one_line_unless_debugging(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise KeyError("a bug")

    monkeypatch.setattr("control.verbs.jobs.page", broken)
    quiet = home.rdg("job list")
    monkeypatch.setenv("RDG_DEBUG", "1")
    loud = home.rdg("job list")

    assert (quiet.code, loud.code) == (5, 5)
    assert len(quiet.err.splitlines()) == 1
    assert "RDG_DEBUG=1" in quiet.err
    assert "Traceback" in loud.err


@contextmanager
def started(home: Home, *args: str, background: bool = False) -> Iterator["subprocess.Popen[str]"]:
    """Run the command in a process of its own, and make sure that it ends.

    In the background of a script a process ignores SIGINT; these tests may run in one themselves.
    """
    env = {**os.environ, "PYTHONPATH": str(Path(cli.__file__).parents[1])}
    ours = signal.signal(
        signal.SIGINT, signal.SIG_IGN if background else signal.default_int_handler
    )
    with subprocess.Popen(
        [*RDG, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env
    ) as process:
        signal.signal(signal.SIGINT, ours)
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("number", "code", "background"),
    [(signal.SIGINT, 130, False), (signal.SIGTERM, 143, False), (signal.SIGTERM, 143, True)],
)
def test_a_signal_ends_a_wait_and_leaves_the_job_alone(
    full_home: Home, number: signal.Signals, code: int, background: bool
) -> None:
    async def insert(store: Store) -> None:
        await store.insert(job("training"))

    full_home.with_store(insert)
    watch = ("job", "watch", JOB, "--format", "jsonl")
    with started(full_home, *watch, background=background) as process:
        assert process.stdout
        said = ""
        while not said:  # a log reader sees only what comes after it
            full_home.publish(Progress(job=JOB, stage="s", state="training", done=1, total=2))
            os.set_blocking(process.stdout.fileno(), False)
            said = process.stdout.readline()
        process.send_signal(number)
        _, err = process.communicate(timeout=30)

    assert process.returncode == code
    assert "Traceback" not in err


def test_ctrl_c_on_a_wait_says_that_the_job_goes_on_and_how_to_see_it(full_home: Home) -> None:
    submit = ("job", "submit", "--model", "digits", "--new-data", "five-to-nine")
    with started(full_home, *submit, "--wait", "--home", str(full_home.path)) as process:
        assert process.stdout
        job_id = process.stdout.readline().strip()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)

    assert process.returncode == 130
    assert f"{job_id} goes on; see it with: rdg job watch {job_id}" in err


def test_a_reader_that_goes_away_is_no_traceback(full_home: Home) -> None:
    with started(full_home, "job", "submit", "--help") as process:
        assert process.stdout
        process.stdout.close()
        assert process.stderr
        err = process.stderr.read()
    assert "Traceback" not in err
