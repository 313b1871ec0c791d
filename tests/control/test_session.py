from typing import Annotated

import pytest
import typer
from typer.main import get_command

from control.session import Group, Session, noun, verb


@pytest.fixture
def seen() -> list[tuple[Session, str, int]]:
    return []


@pytest.fixture
def app(seen: list[tuple[Session, str, int]]) -> typer.Typer:
    made = noun("A noun.")

    @verb(made, "do", example="rdg thing do this")
    async def do(
        session: Session, what: str, times: Annotated[int, typer.Option(help="How often.")] = 1
    ) -> None:
        """Do it."""
        seen.append((session, what, times))

    return made


def call(app: typer.Typer, *args: str) -> object:
    return get_command(app).main(list(args), "rdg", standalone_mode=False)


def test_a_verb_has_its_own_arguments_and_those_of_a_session(
    app: typer.Typer, seen: list[tuple[Session, str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RDG_BUS", "unix:///environment")
    monkeypatch.setenv("RDG_STORE", "sqlite:///environment")

    call(app, "do", "it", "--times", "3", "--bus", "unix:///flag", "--format", "json")

    [(session, what, times)] = seen
    assert (what, times, session.format) == ("it", 3, "json")
    assert session.settings.bus_url == "unix:///flag"
    assert session.settings.store_url == "sqlite:///environment"


def test_flags_that_belong_together_are_one_argument(
    capsys: pytest.CaptureFixture[str],
) -> None:
    seen = []

    def between(
        *,
        low: Annotated[int, typer.Option(help="From.")] = 1,
        high: Annotated[int, typer.Option(help="To.")] = 2,
    ) -> range:
        return range(low, high)

    made = noun("A noun.")

    @verb(made, "do", example="rdg thing do this")
    async def do(
        session: Session, what: str, *, times: Annotated[range, Group(between)], why: str = ""
    ) -> None:
        """Do it."""
        seen.append((what, times, why))

    call(made, "do", "it", "--high", "9", "--why", "because")
    call(made, "do", "--help")

    assert seen == [("it", range(1, 9), "because")]
    out = capsys.readouterr().out
    assert out.index("--low") < out.index("--high") < out.index("--why") < out.index("--bus")


def test_a_noun_with_one_verb_is_still_a_noun(
    app: typer.Typer, capsys: pytest.CaptureFixture[str]
) -> None:
    call(app, "--help")
    assert "do  " in capsys.readouterr().out


def test_help_has_the_docstring_the_flags_and_the_example_unbroken(
    app: typer.Typer, capsys: pytest.CaptureFixture[str]
) -> None:
    call(app, "do", "--help")
    out = capsys.readouterr().out
    for text in (
        "Do it.",
        "How often.",
        "--store",
        "--home",
        "--format",
        "    rdg thing do this\n",
    ):
        assert text in out
