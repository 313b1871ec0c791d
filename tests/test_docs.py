"""What the documents say about the product is so."""

import re
from pathlib import Path

import pytest

from control.cli import run
from schemas.settings import Settings

ROOT = Path(__file__).parents[1]


def commands_of(document: str) -> list[str]:
    """Return the `rdg` command lines in the document's code blocks."""
    text = (ROOT / document).read_text()
    blocks = re.findall(r"```\w*\n(.*?)```", text, re.DOTALL)
    lines = [line.split("#")[0].rstrip(" &") for block in blocks for line in block.splitlines()]
    return [line for line in lines if line.startswith("rdg ")]


@pytest.mark.parametrize("line", sorted(set(commands_of("README.md"))))
def test_every_command_in_the_readme_exists_with_its_options(
    line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = line.split()[1:]
    verb = words[: 1 if words[0] in ("up", "worker", "demo", "doctor") else 2]

    code = run([*verb, "--help"])

    help_text = capsys.readouterr().out
    assert code == 0, line
    assert {word for word in words if word.startswith("--")} <= set(
        re.findall(r"--[\w-]+", help_text)
    )


def test_every_setting_is_documented_with_its_default() -> None:
    text = (ROOT / "docs" / "settings.md").read_text()
    rows = dict(re.findall(r"^\| `RDG_(\w+)` \| ([^|]*) \|", text, re.MULTILINE))

    assert set(rows) == {name.upper() for name in Settings.model_fields}
    for name, field in Settings.model_fields.items():
        if isinstance(field.default, int | float):
            assert float(rows[name.upper()]) == float(field.default)


def test_every_decision_is_listed() -> None:
    folder = ROOT / "docs" / "adr"
    listed = set(re.findall(r"\((\d{4}-[\w-]+\.md)\)", (folder / "README.md").read_text()))

    assert listed == {path.name for path in folder.glob("0*.md")}
