"""What deploy/ asks of the metrics is there: panels and alerts read series that workers have, by labels they have."""

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast

import promql_parser
import pytest
from promql_parser import AggregateExpr, VectorSelector
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from bus.memory import MemoryTransport
from bus.stage import Settlement
from bus.transport import QueueStatus
from control.cli import run
from schemas.settings import Settings
from store.base import Store
from workers.endpoints import serving
from workers.health import Attendance, Health
from workers.metrics import Metrics, View
from workers.pipeline import described

DEPLOY = Path(__file__).parents[1] / "deploy"
DASHBOARD: dict[str, Any] = json.loads((DEPLOY / "grafana" / "rdg.json").read_text())
OF_PROMETHEUS = {"up"}
OF_TARGETS = {"instance", "job"}
LINE = re.compile(r"^( *)(- )?(\w+):(?: ('(?:[^']|'')*'|[\w.-]+))?$")


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Labels(Strict):
    severity: str = Field(pattern=r"^(warning|critical)$")


class Annotations(Strict):
    summary: str = Field(min_length=1)
    runbook: str = Field(pattern=r"^`rdg \w+")


class Alert(Strict):
    """An alerting rule, as Prometheus reads it."""

    alert: str = Field(pattern=r"^Rdg[A-Za-z]+$")
    expr: str = Field(min_length=1)
    for_: str = Field(alias="for", pattern=r"^\d+[smh]$")
    labels: Labels
    annotations: Annotations


class Group(Strict):
    name: str = Field(min_length=1)
    rules: tuple[Alert, ...] = Field(min_length=1)


class RuleFile(Strict):
    groups: tuple[Group, ...] = Field(min_length=1)


@dataclass
class Yaml:
    """Reads maps, lists of maps and scalars on one line, quoted or plain: what the rule file is made of, no more."""

    lines: list[tuple[int, bool, str, str]]

    @classmethod
    def read(cls, text: str) -> Any:
        lines = []
        for line in text.splitlines():
            if not line.strip() or line.lstrip().startswith("#"):
                continue
            found = LINE.match(line)
            assert found, f"not of the plain kind of YAML that this reads: {line}"
            indent, dash, key, value = found.groups()
            lines.append((len(indent + (dash or "")), bool(dash), key, value or ""))
        read = cls(lines)
        value = read.block(0)
        assert not read.lines, f"indented otherwise: {read.lines[0]}"
        return value

    def block(self, indent: int) -> Any:
        return self.items(indent) if self.lines[0][1] else self.fields(indent)

    def items(self, indent: int) -> list[Any]:
        found = []
        while self.lines and self.lines[0][:2] == (indent, True):
            found.append(self.fields(indent))
        return found

    def fields(self, indent: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while self.lines and self.lines[0][0] == indent and not (found and self.lines[0][1]):
            _, _, key, value = self.lines.pop(0)
            assert key not in found, f"{key} twice"
            found[key] = self.scalar(value) if value else self.block(self.lines[0][0])
        return found

    @staticmethod
    def scalar(text: str) -> str:
        return text[1:-1].replace("''", "'") if text.startswith("'") else text


@cache
def alerts() -> tuple[Alert, ...]:
    text = (DEPLOY / "prometheus" / "alerts.yaml").read_text()
    return tuple(
        rule for group in RuleFile.model_validate(Yaml.read(text)).groups for rule in group.rules
    )


@cache
def series() -> dict[str, set[str]]:
    """The labels of every series that a worker has, by name."""
    metrics = Metrics("1")
    (fleet,) = described(["fleet"], ())
    (queue,) = (queue.name for queue in metrics.counted(fleet).queues)
    metrics.settled(Settlement("fleet", queue, None, "", "done", 0.1, 1))
    metrics.surroundings.show(
        View(
            queues={queue: QueueStatus(0, 1, 0)},
            limits={queue: 9},
            consumers={queue: True},
            ended={"failed": 1},
        )
    )
    return {
        sample.name: set(sample.labels)
        for family in metrics.registry.collect()
        for sample in family.samples
    }


def panels() -> list[dict[str, Any]]:
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def queries() -> list[str]:
    texts = [target["expr"] for panel in panels() for target in panel["targets"]]
    return [text.replace("$__rate_interval", "5m") for text in texts]


def nodes(expression: object) -> Iterator[object]:
    """An expression and all that it is made of."""
    found: list[object] = []
    promql_parser.walk(expression, found.append)  # type: ignore[arg-type]
    return iter(found)


EXPRESSIONS = sorted({*queries(), *(each.expr for each in alerts())})


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_every_expression_reads_series_that_there_are_by_labels_they_have(text: str) -> None:
    parts = list(nodes(promql_parser.parse(text)))
    selectors = [part for part in parts if isinstance(part, VectorSelector)]
    groupings = [part.modifier for part in parts if isinstance(part, AggregateExpr)]

    assert selectors
    names = {str(selector.name) for selector in selectors}
    assert names - OF_PROMETHEUS <= set(series())
    known = OF_TARGETS.union(*(series().get(name, set()) for name in names))
    used = {each.name for selector in selectors for each in selector.matchers.matchers}
    used |= {label for grouping in groupings if grouping for label in grouping.labels}
    assert used <= known


@pytest.mark.parametrize("panel", panels(), ids=lambda panel: panel["title"])
def test_every_panel_is_one_that_grafana_can_show(panel: dict[str, Any]) -> None:
    assert panel["type"] in ("stat", "timeseries")
    assert panel["title"]
    assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    assert set(panel["gridPos"]) == {"x", "y", "w", "h"}
    references = [target["refId"] for target in panel["targets"]]
    assert len(set(references)) == len(references) > 0


def test_every_legend_names_labels_that_its_series_have() -> None:
    for panel in panels():
        for target in panel["targets"]:
            wanted = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            left = re.findall(r"by \(([\w, ]+)\)", target["expr"])
            labels = set(re.findall(r"\w+", left[0])) if left else OF_TARGETS
            assert wanted <= labels, target


def test_the_dashboard_is_complete() -> None:
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    (variable,) = DASHBOARD["templating"]["list"]

    assert re.fullmatch(r"[\w-]{1,40}", DASHBOARD["uid"])
    assert DASHBOARD["title"]
    assert DASHBOARD["schemaVersion"] >= 39
    assert len(set(ids)) == len(ids)
    assert (variable["name"], variable["type"], variable["query"]) == (
        "datasource",
        "datasource",
        "prometheus",
    )


def test_no_two_panels_are_at_the_same_place() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (place["x"] + dx, place["y"] + dy)
            for dx in range(place["w"])
            for dy in range(place["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells


def test_every_alert_has_a_name_of_its_own() -> None:
    names = [each.alert for each in alerts()]

    assert len(set(names)) == len(names)


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert.alert)
def test_every_runbook_names_commands_that_there_are(
    alert: Alert, capsys: pytest.CaptureFixture[str]
) -> None:
    for line in re.findall(r"`(rdg [^`]+)`", alert.annotations.runbook):
        words = line.split()[1:]
        verb = words[: 1 if words[0] in ("worker", "doctor") else 2]

        assert run([*verb, "--help"]) == 0, line

        options = re.findall(r"--[\w-]+", capsys.readouterr().out)
        assert {word for word in words if word.startswith("--")} <= set(options)


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert.alert)
def test_every_summary_names_labels_that_the_alert_has(alert: Alert) -> None:
    wanted = set(re.findall(r"\$labels\.(\w+)", alert.annotations.summary))
    left = re.findall(r"by \(([\w, ]+)\)", alert.expr)

    assert wanted <= (set(re.findall(r"\w+", left[0])) if left else OF_TARGETS)


def test_a_queue_is_told_of_before_it_refuses() -> None:
    (alert,) = (each for each in alerts() if each.alert == "RdgQueueNearlyFull")

    share, _, threshold = alert.expr.partition(" > ")
    assert share == "max by (queue) (rdg_queue_messages) / max by (queue) (rdg_queue_limit)"
    assert 0.5 <= float(threshold) < 1


def test_prometheus_scrapes_every_worker_where_it_listens() -> None:
    text = (DEPLOY / "prometheus" / "prometheus.yaml").read_text()
    compose = (DEPLOY / "compose" / "compose.yaml").read_text()
    (names,) = re.findall(r"names: \[(.*)\]", text)
    (port,) = re.findall(r"port: (\d+)", text)
    (rules,) = re.findall(r"rule_files: \[(.*)\]", text)

    assert set(names.split(", ")) == set(
        re.findall(r"^  (\w+): \{<<: \*worker", compose, re.MULTILINE)
    )
    assert f"RDG_HEALTH: 0.0.0.0:{port}\n" in compose
    assert (DEPLOY / "prometheus" / rules).exists()


def test_what_shows_it_all_is_reached_from_this_machine_only() -> None:
    text = (DEPLOY / "compose" / "compose.obs.yaml").read_text()
    mounted = re.findall(r"(\.\./[\w/.]+):", text)

    assert re.findall(r"ports: \[\"([\d.]+):", text) == ["127.0.0.1"] * 2
    assert len(mounted) == 3
    assert all((DEPLOY / "compose" / path).exists() for path in mounted)


async def test_the_health_check_of_compose_is_that_of_a_ready_worker() -> None:
    text = (DEPLOY / "compose" / "compose.yaml").read_text()
    (block,) = re.findall(r"      - >-\n((?:        .+\n)+)", text)
    code = " ".join(block.split())
    token = "correct-horse-battery"
    health = Health((), asyncio.Event())
    settings = Settings(health_token=SecretStr(token))

    async with serving(settings, health) as address:
        here = code.replace("http://127.0.0.1:9400", address)
        assert here != code
        before = await asyncio.to_thread(exit_code, here, token)
        async with health.attending(
            Attendance(MemoryTransport(), cast(Store, Answering()), (), {})
        ):
            ready = await asyncio.to_thread(exit_code, here, token)
            stranger = await asyncio.to_thread(exit_code, here, "somebody-elses-token")

    assert (before, ready, stranger) == (1, 0, 1)


class Answering:
    """A store, as far as readiness asks."""

    async def ping(self) -> str:
        return "here"


def exit_code(code: str, token: str) -> int:
    environment = {"RDG_HEALTH_TOKEN": token}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=environment, capture_output=True, check=False).returncode


def test_a_worker_of_systemd_is_given_longer_to_end_than_it_takes() -> None:
    unit = (DEPLOY / "systemd" / "rdg-worker@.service").read_text()
    (stop,) = re.findall(r"^TimeoutStopSec=(\d+)$", unit, re.MULTILINE)

    assert int(stop) > Settings.model_fields["grace_s"].default
    assert "\nRestart=always\n" in unit
    assert re.search(r"^ExecStart=/\S+/rdg worker %i$", unit, re.MULTILINE)
