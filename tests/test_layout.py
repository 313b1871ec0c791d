"""Rules of the whole source tree that no linter checks."""

import ast
import re
import tomllib
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES: list[str] = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]

MAX_FILE_LINES = 400
MAX_BODY_LINES = 40
UNSAFE = {"pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal"}
OF_A_MACHINE = re.compile(r"(?<![\w.~])/(?:home|Users|root|mnt)/\w")

Function = ast.FunctionDef | ast.AsyncFunctionDef


def sources() -> list[Path]:
    return sorted(
        path for name in [*PACKAGES, "benchmarks"] for path in (ROOT / name).rglob("*.py")
    )


def documents() -> list[Path]:
    folders = [path for name in ("docs", "deploy") for path in (ROOT / name).rglob("*")]
    readable = (path for path in folders if path.is_file() and path.suffix != ".png")
    return [ROOT / "README.md", *sorted(readable)]


def called(path: Path) -> str:
    return str(path.relative_to(ROOT))


def body_lines(function: Function) -> int:
    """Lines of what a function does: a command's signature lists its options and may be long."""
    statements = function.body[1:] if ast.get_docstring(function) else function.body
    return function.body[-1].end_lineno - statements[0].lineno + 1 if statements else 0  # type: ignore[operator]


def functions(path: Path) -> Iterator[Function]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, Function):
            yield node


def loaded(path: Path) -> Iterator[str]:
    """Every module that a file imports, and every attribute that it reads, dotted."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield str(node.module)
            yield from (f"{node.module}.{name.name}" for name in node.names)
        elif isinstance(node, ast.Attribute):
            yield ast.unparse(node)


@pytest.mark.parametrize("name", PACKAGES)
def test_a_package_is_ours_and_not_another_of_its_name(name: str) -> None:
    spec = find_spec(name)

    assert spec is not None
    assert spec.origin is not None
    assert Path(spec.origin).is_relative_to(ROOT)


def test_every_package_of_the_tree_is_distributed() -> None:
    folders = {path.parent.name for path in ROOT.glob("*/__init__.py")}

    assert folders - {"tests", "benchmarks"} == set(PACKAGES)


def test_no_file_is_too_long_to_read() -> None:
    files = [*sources(), *(ROOT / "tests").rglob("*.py")]
    lengths = {called(path): len(path.read_text().splitlines()) for path in files}

    assert {name: length for name, length in lengths.items() if length > MAX_FILE_LINES} == {}


def test_no_function_is_too_long_to_read() -> None:
    lengths = {
        f"{called(path)}:{function.lineno} {function.name}": body_lines(function)
        for path in sources()
        for function in functions(path)
    }

    assert {name: length for name, length in lengths.items() if length > MAX_BODY_LINES} == {}


def test_nothing_that_is_read_can_run_code() -> None:
    found = [
        f"{called(path)}: {name}"
        for path in sources()
        for name in loaded(path)
        if name.split(".")[0] in UNSAFE or name == "torch.load"
    ]

    assert found == []


def test_every_folder_of_tests_is_a_package() -> None:
    folders = {path.parent for path in (ROOT / "tests").rglob("*.py")}

    assert [called(folder) for folder in folders if not (folder / "__init__.py").exists()] == []


def test_tests_mirror_the_packages() -> None:
    beside = {"pipeline", "servers", "chaos", "fuzz"}
    folders = {path.name for path in (ROOT / "tests").iterdir() if (path / "__init__.py").exists()}

    assert folders - beside <= {*PACKAGES, "benchmarks"}


@pytest.mark.parametrize("path", documents(), ids=called)
def test_what_people_read_has_no_path_of_one_machine(path: Path) -> None:
    text = path.read_text()

    assert str(ROOT) not in text
    assert OF_A_MACHINE.findall(text) == []


def test_a_path_of_a_machine_is_recognised() -> None:
    for text in ("`/home/ada/rdg`", '"/Users/ada"'):
        assert OF_A_MACHINE.search(text)
    for text in ("https://host/home/x", "/srv/rdg"):
        assert not OF_A_MACHINE.search(text)
