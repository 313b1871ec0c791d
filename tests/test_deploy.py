"""What is deployed is what there is: every stage has a worker, and the image has every package."""

import re
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from schemas.settings import Settings
from workers.pipeline import PIPELINE, installed

ROOT = Path(__file__).parents[1]
COMPOSE = (ROOT / "deploy" / "compose" / "compose.yaml").read_text()
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text()
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES: list[str] = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]

COMMAND = re.compile(r"^  ([a-z]+): \{<<: \*worker, command: \[worker, ([^\]]+)\]\}$", re.MULTILINE)


def workers() -> dict[str, list[str]]:
    """The stages of each worker in the compose file, by service."""
    return {service: stages.split(", ") for service, stages in COMMAND.findall(COMPOSE)}


def services() -> set[str]:
    """All services: the keys right under `services:`."""
    block = COMPOSE.partition("\nservices:\n")[2].partition("\nvolumes:\n")[0]
    return set(re.findall(r"^  (\w+):", block, re.MULTILINE))


def test_every_service_is_a_server_or_a_worker() -> None:
    assert services() - {"rabbitmq", "mongodb"} == set(workers())


def test_every_worker_names_stages_that_are_installed() -> None:
    named = {stage for stages in workers().values() for stage in stages}

    assert named <= set(installed())


def test_together_the_workers_are_the_whole_pipeline_once() -> None:
    named = Counter(stage for stages in workers().values() for stage in stages)

    assert named == Counter(PIPELINE)


def test_only_this_machine_reaches_the_servers() -> None:
    ports = re.findall(r'"([\d.:]+:\d+)"', "".join(re.findall(r"ports: .*", COMPOSE)))

    assert len(ports) == 3
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_no_password_is_written_down() -> None:
    written = re.findall(r"(?:PASSWORD|PASS): (.*)|://rdg:([^@]*)@", COMPOSE)
    values = [value for pair in written for value in pair if value]

    assert len(values) == 4
    assert all(value.startswith("${") and ":?" in value for value in values)


def test_a_worker_is_given_longer_to_end_than_it_takes() -> None:
    (grace,) = re.findall(r"stop_grace_period: (\d+)s", COMPOSE)

    assert int(grace) > Settings.model_fields["grace_s"].default


@pytest.mark.parametrize("name", PACKAGES)
def test_the_image_has_every_package(name: str) -> None:
    assert re.search(rf"^COPY {name} \./{name}$", DOCKERFILE, re.MULTILINE)


def test_the_image_copies_only_what_there_is() -> None:
    copied = [
        source
        for line in re.findall(r"^COPY (.+)$", DOCKERFILE, re.MULTILINE)
        for source in line.split()[:-1]
    ]

    assert [source for source in copied if not (ROOT / source).exists()] == []


def test_the_image_runs_the_command_as_nobody_special() -> None:
    assert re.search(r"^USER rdg$", DOCKERFILE, re.MULTILINE)
    assert 'ENTRYPOINT ["rdg"]' in DOCKERFILE
    assert PROJECT["project"]["scripts"]["rdg"] == "control.cli:main"
