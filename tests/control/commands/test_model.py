import json

import pytest

from schemas.documents import Job
from schemas.job import FitSpec, RehearsalSpec
from store.base import Store
from tests.control.home import Home
from tests.control.world import JOB, REQUESTS, job, rehearsal_set


def the_job(home: Home) -> Job:
    async def find(store: Store) -> list[Job]:
        return await store.find(Job)

    [made] = home.with_store(find)
    return made


def under_review(home: Home) -> None:
    async def insert(store: Store) -> None:
        await store.insert(job("reviewing"))
        await store.insert(rehearsal_set())

    home.with_store(insert)


def test_train_is_a_job_without_rehearsal(full_home: Home) -> None:
    line = "model train --model fresh --data zero-to-four --generator gmm --epochs 2 --architecture dense16"
    assert (
        full_home.rdg(f"{line} --augmentation shift+flip --schedule cosine --patience 1").code == 0
    )

    spec = the_job(full_home).spec
    assert isinstance(spec, RehearsalSpec)
    assert (spec.classes, spec.generator, spec.training.epochs) == ((), "gmm", 2)
    assert (spec.training.augmentation, spec.training.schedule) == ("shift+flip", "cosine")
    assert spec.training.patience == 1


def test_fit_is_a_job_of_its_own_kind(full_home: Home) -> None:
    line = "generator fit --generator gmm --data zero-to-four --model digits --delete-originals"
    assert full_home.rdg(f"{line} --option components=2").code == 0

    spec = the_job(full_home).spec
    assert isinstance(spec, FitSpec)
    assert (spec.delete_originals, spec.options) == (True, {"components": 2})


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("model train --model digits", "--data"),
        ("model train --model digits --data nope", "new_data"),
        ("generator fit --generator nope --data digits --model digits", "generator"),
        ("generator fit --generator gmm --data digits --model digits --classes a", "'a'"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(full_home: Home, line: str, says: str) -> None:
    outcome = full_home.rdg(line)
    assert (outcome.code, len(outcome.err.splitlines())) == (4, 1)
    assert says in outcome.err
    assert full_home.depth(REQUESTS) == 0


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("model show nope", 1),
        ("model show digits@9", 1),
        ("model show digits@x", 4),
        ("model lineage nope", 1),
        ("release show nope", 1),
        ("review approve j-nope", 1),
        ("release list --limit 0", 4),
    ],
)
def test_what_is_not_there_is_said_in_one_line(full_home: Home, line: str, code: int) -> None:
    outcome = full_home.rdg(line)
    assert (outcome.code, len(outcome.err.splitlines())) == (code, 1)


def test_models_and_releases_can_be_read(full_home: Home) -> None:
    models = json.loads(full_home.rdg("model list --format json").out)
    detail = json.loads(full_home.rdg("model show digits --format json").out)
    one = full_home.rdg("model show digits@1").out
    releases = json.loads(full_home.rdg("release list --format json").out)
    release = full_home.rdg("release show digits").out

    assert [each["released"] for each in models] == [1]
    assert [each["number"] for each in detail["versions"]] == [1]
    assert "dense8" in one
    assert "class 0" in release
    assert [each["is_current"] for each in releases] == [True]


def test_devices_and_generators_can_be_read(full_home: Home) -> None:
    devices = json.loads(full_home.rdg("device list --format json").out)
    fitted = full_home.rdg("generator list --format json")
    assert [each["state"] for each in devices] == ["running"]
    assert [each["id"] for each in json.loads(fitted.out)] == ["gmm-j-made-1"]
    assert "original" in fitted.err


def test_a_waiting_review_is_listed_and_decided_once(full_home: Home) -> None:
    under_review(full_home)

    listed = full_home.rdg("review list")
    approved = full_home.rdg(f"review approve {JOB} --reviewer ada --reason fine --format json")

    assert JOB in listed.out
    assert approved.code == 0
    assert json.loads(approved.out)["id"] == JOB
    assert full_home.depth("review.review.decided.v1") == 1


def test_what_does_not_wait_cannot_be_decided(full_home: Home) -> None:
    async def insert(store: Store) -> None:
        await store.insert(job("training"))

    full_home.with_store(insert)
    outcome = full_home.rdg(f"review reject {JOB}")
    assert (outcome.code, "not under review" in outcome.err) == (1, True)
    assert full_home.depth("review.review.decided.v1") == 0


def test_the_doctor_exits_1_when_something_fails(home: Home) -> None:
    outcome = home.rdg("doctor --format json")
    by_name = {check["name"]: check["status"] for check in json.loads(outcome.out)}
    assert outcome.code == 1  # nobody has declared a queue
    assert (by_name["store"], by_name["bus"], by_name["workers"]) == ("ok", "ok", "fail")
