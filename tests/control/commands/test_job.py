import json
import shlex
from pathlib import Path

import pytest

from schemas.documents import Job
from store.base import Store
from tests.control.home import Home
from tests.control.world import JOB, REQUESTS, job

SUBMIT = "job submit --model digits --new-data five-to-nine"


def kept(home: Home) -> list[Job]:
    async def find(store: Store) -> list[Job]:
        return await store.find(Job)

    return home.with_store(find)


def keep(home: Home, made: Job) -> None:
    async def insert(store: Store) -> None:
        await store.insert(made)

    home.with_store(insert)


def test_every_flag_reaches_the_specification(full_home: Home) -> None:
    outcome = full_home.rdg(
        f"{SUBMIT} --new-classes 5-6 --generator gmm --option components=2 --classes 0-4 --count 20"
        " --no-fit-new --fits newest --min-confidence 0.6 --min-distance 0.05"
        " --labels soft --soft-weight 0.3 --min-correction 0.8 --review manual --min-count 2 --min-balance 0.1"
        " --min-fidelity 0.7 --min-coverage 0.3 --max-drift 0.5"
        " --epochs 3 --patience 2 --lr 0.01 --batch-size 16 --distillation 1 --max-forgetting 0.1"
        " --schedule constant --augmentation affine+flip --replay-ratio 0.4 --calibration bias"
        " --min-accuracy 0.2 --probe digits --base 1 --from-scratch --architecture dense16"
        " --no-release --seed 9 --deadline 3600 --submit-token mine --format json"
    )

    assert outcome.code == 0, outcome.err
    asked = json.loads(outcome.out)
    assert asked["token"] == "mine"
    assert asked["spec"] == {
        "kind": "rehearsal",
        "model": "digits",
        "new_data": "five-to-nine",
        "new_classes": ["5", "6"],
        "generator": "gmm",
        "options": {"components": 2},
        "classes": ["0", "1", "2", "3", "4"],
        "count": 20,
        "fit_new": False,
        "fits": "newest",
        "labels": {"kind": "soft", "soft_weight": 0.3, "min_correction": 0.8},
        "filter": {"min_confidence": 0.6, "min_distance": 0.05},
        "review": {
            "mode": "manual",
            "min_count": 2,
            "min_mean_confidence": 0.0,
            "min_balance": 0.1,
            "min_fidelity": 0.7,
            "min_coverage": 0.3,
            "max_drift": 0.5,
        },
        "training": {
            "epochs": 3,
            "batch_size": 16,
            "lr": 0.01,
            "schedule": "constant",
            "augmentation": "affine+flip",
            "replay_ratio": 0.4,
            "new_loss": "auto",
            "distillation": 1.0,
            "validation": 0.1,
            "patience": 2,
            "calibration": "bias",
        },
        "gates": {"min_accuracy": 0.2, "max_forgetting": 0.1},
        "architecture": "dense16",
        "base": 1,
        "from_scratch": True,
        "release": False,
        "probe": "digits",
        "seed": 9,
        "deadline_s": 3600.0,
    }


def test_what_may_be_automatic_may_be_said_to_be(full_home: Home) -> None:
    outcome = full_home.rdg(
        f"{SUBMIT} --generator gmm --count auto --epochs auto --replay-ratio auto --format json"
    )

    spec = json.loads(outcome.out)["spec"]
    training = spec["training"]
    assert {spec["count"], training["epochs"], training["replay_ratio"]} == {"auto"}


def test_submit_prints_the_id_alone_on_stdout(full_home: Home) -> None:
    outcome = full_home.rdg(SUBMIT)
    assert [each.id for each in kept(full_home)] == [outcome.out.strip()]
    assert "rdg job watch" in outcome.err
    assert full_home.depth(REQUESTS) == 1


def test_a_token_submits_once(full_home: Home) -> None:
    first = full_home.rdg(f"{SUBMIT} --submit-token once")
    again = full_home.rdg(f"{SUBMIT} --submit-token once")
    other = full_home.rdg(f"{SUBMIT} --submit-token once --seed 3")

    assert first.out == again.out
    assert (other.code, len(kept(full_home))) == (1, 1)


@pytest.mark.parametrize(
    ("flags", "code", "says"),
    [
        ("--new-data nope", 4, "no data set 'nope'"),
        ("--generator foo", 4, "'foo' is unknown"),
        ("--generator gmm --option components=many", 4, "'components'"),
        ("--generator gmm --option components", 4, "name=value"),
        ("--generator gmm --classes zebra", 4, "'zebra'"),
        ("--classes 0-4", 4, "--generator"),
        ("--lr 0", 4, "training.lr"),
        ("--lr fast", 4, "'--lr'"),
        ("--replay-ratio most", 4, "training.replay_ratio"),
        ("--augmentation blur", 4, "training.augmentation"),
        ("--calibration much", 4, "training.calibration"),
        ("--schedule weekly", 4, "training.schedule"),
        ("--count 0", 4, "count"),
        ("--count many", 4, "count: Input should be 'auto' or a valid integer"),
        (
            "--epochs 0",
            4,
            "training.epochs: Input should be 'auto' or greater than or equal to 1, not '0'",
        ),
        ("--fits oldest", 4, "fits"),
        ("--review nobody", 4, "review.mode"),
        ("--seed -1", 4, "seed"),
        ("--base 9", 4, "digits@1"),
        ("--probe nope", 4, "probe"),
        ("--model 'Not A Name'", 4, "model"),
        ("--timeout -1", 4, "timeout"),
        ("--timeout 5", 4, "--timeout says how long to --wait"),
        ("--no-such-flag", 4, "--no-such-flag"),
        ("--bus unix:///nowhere/bus.sock", 2, "/nowhere/bus.sock"),
        ("--bus carrier-pigeon://x", 2, "RDG_BUS"),
        ("--store mysql://x", 2, "RDG_STORE"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(
    full_home: Home, flags: str, code: int, says: str
) -> None:
    outcome = full_home.rdg(f"{SUBMIT} {flags}")
    assert outcome.code == code, outcome.err
    assert says in outcome.err
    assert len(outcome.err.splitlines()) == 1
    assert outcome.out == ""
    assert kept(full_home) == []
    assert full_home.depth(REQUESTS) == 0


def test_an_error_is_an_envelope_where_json_was_asked_for(full_home: Home) -> None:
    outcome = full_home.rdg("job submit --model digits --new-data nope --format json")
    envelope = json.loads(outcome.err)
    assert outcome.out == ""
    assert envelope["error_code"] == "invalid"
    assert envelope["message"] == "new_data: no data set 'nope'"
    assert set(envelope) == {"schema_version", "status", "error_code", "message", "hint"}


def test_waiting_shows_the_stages_and_ends_with_the_result(full_home: Home) -> None:
    with full_home.worker("completed", result="digits@1"):
        outcome = full_home.rdg(f"{SUBMIT} --wait")
    assert outcome.code == 0
    assert outcome.err.splitlines()[-1].endswith(": digits@1, accuracy 0.9 (validation)")
    assert outcome.out.strip().startswith("j-")


@pytest.mark.parametrize("state", ["failed", "rejected", "cancelled"])
def test_waiting_for_a_job_without_a_result_exits_1_with_its_reason(
    full_home: Home, state: str
) -> None:
    keep(full_home, job(state, reason="the fours are blurred"))  # type: ignore[arg-type]
    outcome = full_home.rdg(f"job wait {JOB} --format json")
    assert outcome.code == 1
    assert json.loads(outcome.out)["state"] == state
    assert "the fours are blurred" in outcome.err.splitlines()[-1]


def test_a_job_that_fails_while_it_is_waited_for_exits_1(full_home: Home) -> None:
    with full_home.worker("failed", reason="no luck"):
        outcome = full_home.rdg(f"{SUBMIT} --wait --timeout 60")
    assert (outcome.code, "no luck; `rdg job retry" in outcome.err) == (1, True)


def test_a_timeout_exits_3_and_leaves_the_job_alone(full_home: Home) -> None:
    keep(full_home, job("training"))
    outcome = full_home.rdg(f"job wait {JOB} --timeout 0.05")
    assert (outcome.code, "not over" in outcome.err) == (3, True)
    assert kept(full_home)[0].state == "training"


def test_watching_gives_every_step_as_json(full_home: Home) -> None:
    keep(full_home, job("completed"))
    outcome = full_home.rdg(f"job watch {JOB} --format jsonl")
    [step] = [json.loads(line) for line in outcome.out.splitlines()]
    assert (outcome.code, step["job"], step["state"]) == (0, JOB, "completed")


def test_watching_says_how_a_job_ended_and_exits_0(full_home: Home) -> None:
    keep(full_home, job("failed", reason="no luck"))
    outcome = full_home.rdg(f"job watch {JOB}")
    assert (outcome.code, "no luck" in outcome.err) == (0, True)


def test_jobs_are_listed_shown_cancelled_and_retried(full_home: Home) -> None:
    keep(full_home, job("training"))

    cancelled = full_home.rdg(f"job cancel {JOB} --format json")
    again = full_home.rdg(f"job cancel {JOB}")
    retried = full_home.rdg(f"job retry {JOB}")
    listed = full_home.rdg("job list --state submitted --model digits --format json")
    shown = full_home.rdg(f"job show {JOB}")

    assert json.loads(cancelled.out)["state"] == "cancelled"
    assert again.code == 0  # it is cancelled, as asked
    assert retried.code == 0
    assert [(each["id"], each["attempt"]) for each in json.loads(listed.out)] == [(JOB, 2)]
    assert "five-to-nine" in shown.out


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("job show j-nope", 1),
        ("job cancel j-nope", 1),
        ("job retry j-nope", 1),
        ("job wait j-nope", 1),
        ("job watch j-nope --format json", 1),
        ("job list --state asleep", 4),
        ("job list --limit many", 4),
        ("job show", 4),
        ("job frobnicate", 4),
        (f"job retry {JOB}", 1),
        (f"job cancel {JOB}", 1),
    ],
)
def test_every_refusal_is_one_line(full_home: Home, line: str, code: int) -> None:
    keep(full_home, job("completed"))
    outcome = full_home.rdg(line)
    assert (outcome.code, len(outcome.err.splitlines())) == (code, 1), outcome.err


def test_a_flag_wins_over_the_environment(
    full_home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(full_home, job("completed"))
    monkeypatch.setenv("RDG_STORE", f"sqlite://{tmp_path}/other.db")

    elsewhere = full_home.rdg("job list --format json")
    here = full_home.rdg(f"job list --format json --store sqlite://{full_home.path}/store.db")

    assert elsewhere.out == "[]\n"
    assert [each["id"] for each in json.loads(here.out)] == [JOB]


def test_a_broken_store_is_said_without_a_traceback(full_home: Home) -> None:
    (full_home.path / "bad.db").write_bytes(b"not a database" * 100)
    line = f"job list --store {shlex.quote(f'sqlite://{full_home.path}/bad.db')}"
    outcome = full_home.rdg(line)
    assert outcome.code in (1, 2)
    assert "Traceback" not in outcome.err
    assert len(outcome.err.splitlines()) == 1
