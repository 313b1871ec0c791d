import pytest

from control.progress_bars import byte_bar, job_bars
from schemas.flow import Progress


def step(
    stage: str, done: float, total: float, note: str = "", state: str = "training"
) -> Progress:
    return Progress(job="j-1", stage=stage, state=state, done=done, total=total, note=note)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")


def test_a_terminal_gets_a_bar_for_each_stage(
    terminal: None, capsys: pytest.CaptureFixture[str]
) -> None:
    with job_bars() as show:
        show(step("fitting", 30, 100))
        show(step("fitting", 100, 100))
        show(step("planning", 0, 0))
        show(step("training", 40, 100, "[bold]slice 2"))
    out, err = capsys.readouterr()
    last = err[err.rindex("fitting") :]
    assert out == ""
    assert last.count("100%") == 2
    assert "40%" in last
    assert "[bold]slice 2" in last


def test_without_a_terminal_each_change_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    with job_bars() as show:
        for done in range(5):
            show(step("training", done, 5))
        show(step("review", 0, 0, "waits for a person", "reviewing"))
    assert capsys.readouterr().err.splitlines() == [
        "j-1: training (training)",
        "j-1: review (reviewing) waits for a person",
    ]


def test_bytes_of_unknown_total_are_shown(
    terminal: None, capsys: pytest.CaptureFixture[str]
) -> None:
    with byte_bar("reading [mnist]") as told:
        told(500, None)
        told(1000, 1000)
    assert "reading [mnist]" in capsys.readouterr().err
