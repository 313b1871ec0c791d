"""`rdg agent` as a process: its lines, its data, its exit codes, its end."""

import asyncio
import json
import re
import shlex
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from bus.bus import Bus
from bus.local import serve
from bus.memory import MemoryTransport
from edge_agent.cli import app
from edge_agent.slots import opened
from edge_agent.update import assemble
from tests.edge_agent.fleet import WITHIN_S, reports_on
from tests.edge_agent.releases import CLASSES, flipped, release, samples, with_parts

runner = CliRunner()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with version 3 for the device pump-7, and a working folder with samples."""
    monkeypatch.setenv("RDG_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    np.save("samples.npy", samples())
    with opened(tmp_path / "agents" / "pump-7") as slots:
        slots.keep(release(3).manifest, release(3).parts, None)
    return tmp_path


@asynccontextmanager
async def agent_process(*arguments: str) -> AsyncIterator[Process]:
    command = (sys.executable, "-m", "edge_agent", *arguments)
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=PIPE)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def line_with(process: Process, text: str) -> str:
    """Return the next line on stderr that has the text."""
    assert process.stderr is not None
    async with asyncio.timeout(WITHIN_S):
        while line := (await process.stderr.readline()).decode():
            if text in line:
                return line
    raise AssertionError(f"the agent ended without saying {text!r}")


async def exit_code(process: Process) -> int:
    async with asyncio.timeout(WITHIN_S):
        return await process.wait()


async def test_process_follows_swaps_reports_and_stops(tmp_path: Path) -> None:
    transport, path = MemoryTransport(), tmp_path / "bus.sock"
    bus = Bus(transport, "releasing")
    arguments = ("--model", "digits", "--device", "pump-7", "--bus", f"unix://{path}")
    await bus.publish(release(1))

    async with (
        reports_on(transport) as reports,
        serve(transport, path),
        agent_process("run", *arguments, "--state", str(tmp_path / "state")) as process,
    ):
        assert await line_with(process, "follows") == "agent pump-7 follows model digits\n"
        assert "digits@1 runs: 3 classes, 0.0 MB" in await line_with(process, "digits@1")
        assert (await reports.get()).version == 1
        broken = {digest: flipped(data, -1) for digest, data in release(2).parts.items()}
        await bus.publish(with_parts(release(2), broken))
        assert "refused digits@2: part backbone" in await line_with(process, "refused")
        assert (await reports.get()).state == "refused"
        await bus.publish(release(3))
        await line_with(process, "digits@3 runs")
        process.send_signal(signal.SIGTERM)
        assert await line_with(process, "stopped") == "agent pump-7 stopped\n"
        assert await exit_code(process) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_process_waits_for_a_bus_and_can_be_stopped_meanwhile(
    tmp_path: Path, number: signal.Signals
) -> None:
    arguments = ("--model", "digits", "--bus", f"unix://{tmp_path}/none.sock")
    async with agent_process("run", *arguments, "--state", str(tmp_path)) as process:
        await line_with(process, "waiting for the bus")

        process.send_signal(number)

        assert await exit_code(process) == 0


async def test_killed_process_runs_its_version_again(home: Path) -> None:
    arguments = ("run", "--model", "digits", "--device", "pump-7")
    async with agent_process(*arguments) as process:
        await line_with(process, "digits@3 runs")
        process.kill()
        await exit_code(process)

    async with agent_process(*arguments) as process:
        await line_with(process, "digits@3 runs")


async def test_second_process_on_the_state_is_refused(home: Path) -> None:
    arguments = ("run", "--model", "digits", "--device", "pump-7")
    async with agent_process(*arguments) as first:
        await line_with(first, "digits@3 runs")

        async with agent_process(*arguments) as second:
            line = await line_with(second, "error")
            code = await exit_code(second)

    assert (
        line
        == f"error: {home}/agents/pump-7: another agent uses it; stop it, or give another --state\n"
    )
    assert code == 1


async def test_wrong_arguments_exit_with_4() -> None:
    async with agent_process("run", "--modle", "digits") as process:
        assert await exit_code(process) == 4


@pytest.mark.parametrize("verb", ["run", "predict", "show"])
async def test_example_of_the_help_works(home: Path, verb: str) -> None:
    text = " ".join(runner.invoke(app, [verb, "--help"]).output.split())
    example = re.search(r"Example: rdg agent (.*?) (?:Arguments|Options):", text)
    assert example

    async with agent_process(*shlex.split(example[1])) as process:
        if verb == "run":
            await line_with(process, "waiting for the bus")
            process.terminate()
        code = await exit_code(process)

    assert code == 0


@pytest.mark.parametrize("place", [["--device", "pump-7"], ["--state", "agents/pump-7"]])
def test_prediction_needs_no_bus(home: Path, place: list[str]) -> None:
    result = runner.invoke(app, ["predict", "samples.npy", *place, "--format", "json"])

    answer = assemble(release(3).manifest, release(3).parts).predict(samples())
    rows = json.loads(result.stdout)
    assert result.exit_code == 0
    assert result.stderr == ""
    assert [row["label"] for row in rows] == list(answer.labels)
    assert [row["confidence"] for row in rows] == pytest.approx(answer.confidence, abs=1e-6)


def test_formats_say_the_same(home: Path) -> None:
    arguments = ["predict", "samples.npy", "--device", "pump-7", "--format"]
    whole = json.loads(runner.invoke(app, [*arguments, "json"]).stdout)
    lines = runner.invoke(app, [*arguments, "jsonl"]).stdout.splitlines()
    table = runner.invoke(app, [*arguments, "table"]).stdout.splitlines()

    assert [json.loads(line) for line in lines] == whole
    assert table[0].split() == ["sample", "confidence", "label"]
    assert [row.split()[2] for row in table[1:]] == [row["label"] for row in whole]


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (samples()[:, :7], "samples: shape (5, 7, 8), reshape to (n, 8, 8)"),
        (samples().astype(np.float64), "samples: dtype float64, convert to uint8"),
    ],
)
def test_unfit_samples_exit_with_4(home: Path, array: np.ndarray, reason: str) -> None:
    np.save("unfit.npy", array)

    result = runner.invoke(app, ["predict", "unfit.npy", "--device", "pump-7"])

    assert (result.exit_code, result.stdout, result.stderr) == (4, "", f"error: {reason}\n")


def test_truncated_file_exits_with_4(home: Path) -> None:
    whole = Path("samples.npy").read_bytes()
    Path("cut.npy").write_bytes(whole[: len(whole) // 2])

    result = runner.invoke(app, ["predict", "cut.npy", "--device", "pump-7"])

    assert result.exit_code == 4
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("arguments", [["predict", "samples.npy"], ["show"]])
def test_no_model_yet_exits_with_1_and_the_remedy(home: Path, arguments: list[str]) -> None:
    result = runner.invoke(app, [*arguments, "--device", "new"])

    assert result.exit_code == 1
    assert "agents/new holds no model: run `rdg agent run --model NAME`" in result.stderr


def test_show_prints_what_is_kept(home: Path) -> None:
    table = runner.invoke(app, ["show", "--device", "pump-7"])
    whole = runner.invoke(app, ["show", "--device", "pump-7", "--format", "json"])

    assert table.stdout.startswith("digits@3 runs: 3 classes")
    assert json.loads(whole.stdout)["classes"] == list(CLASSES)


def test_bug_exits_with_5(monkeypatch: pytest.MonkeyPatch) -> None:
    from edge_agent import cli

    def broken(**_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(cli, "app", broken)

    with pytest.raises(SystemExit) as end:
        cli.main()

    assert end.value.code == 5
