import hashlib
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from control.sources import download
from control.sources.download import Patience, fetch
from control.sources.errors import DownloadFailed, SourceError
from tests.control.sources.host import Host, serving

CONTENT = hashlib.shake_256(b"content").digest(700_000)
PATIENT = Patience(attempts=3, backoff_s=0.001, timeout_s=5)


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving() as host:
        host.files["/set.gz"] = CONTENT
        yield host


def is_genuine(path: Path) -> bool:
    return path.read_bytes() == CONTENT


def free_url() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}/set.gz"


def test_file_arrives_whole_and_progress_is_told(tmp_path: Path, host: Host) -> None:
    told: list[tuple[int, int | None]] = []
    target = tmp_path / "cache" / "set.gz"

    fetch([host.url + "set.gz"], target, is_genuine, lambda *step: told.append(step), PATIENT)

    assert target.read_bytes() == CONTENT
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert [done for done, _ in told] == sorted({done for done, _ in told})
    assert [path.name for path in target.parent.iterdir()] == ["set.gz"]


def test_progress_without_a_known_length_has_no_total(tmp_path: Path, host: Host) -> None:
    host.length = False
    told: list[tuple[int, int | None]] = []

    fetch(
        [host.url + "set.gz"],
        tmp_path / "set.gz",
        is_genuine,
        lambda *step: told.append(step),
        PATIENT,
    )

    assert told[-1] == (len(CONTENT), None)


def test_broken_transfer_is_resumed_where_it_broke(tmp_path: Path, host: Host) -> None:
    host.cuts = [300_000, 300_000]

    fetch([host.url + "set.gz"], tmp_path / "set.gz", is_genuine, None, PATIENT)

    assert (tmp_path / "set.gz").read_bytes() == CONTENT
    ranges = [wanted for _, wanted in host.requests]
    assert ranges == [None, "bytes=300000-", "bytes=600000-"]


def test_later_run_resumes_what_an_earlier_one_left(tmp_path: Path, host: Host) -> None:
    (tmp_path / "set.gz.part").write_bytes(CONTENT[:500_000])

    fetch([host.url + "set.gz"], tmp_path / "set.gz", is_genuine, None, PATIENT)

    assert (tmp_path / "set.gz").read_bytes() == CONTENT
    assert host.requests == [("/set.gz", "bytes=500000-")]


def test_host_that_cannot_resume_starts_again(tmp_path: Path, host: Host) -> None:
    host.resumes = False
    host.cuts = [300_000]

    fetch([host.url + "set.gz"], tmp_path / "set.gz", is_genuine, None, PATIENT)

    assert (tmp_path / "set.gz").read_bytes() == CONTENT


@pytest.mark.parametrize("part", [b"of another file", CONTENT + b"too long"])
def test_part_that_does_not_belong_is_dropped(tmp_path: Path, host: Host, part: bytes) -> None:
    (tmp_path / "set.gz.part").write_bytes(part)

    fetch([host.url + "set.gz"], tmp_path / "set.gz", is_genuine, None, PATIENT)

    assert (tmp_path / "set.gz").read_bytes() == CONTENT


def test_host_that_continues_elsewhere_is_not_believed(tmp_path: Path, host: Host) -> None:
    host.shift = 5
    (tmp_path / "set.gz.part").write_bytes(CONTENT[:500_000])

    fetch([host.url + "set.gz"], tmp_path / "set.gz", is_genuine, None, PATIENT)

    assert (tmp_path / "set.gz").read_bytes() == CONTENT
    assert [wanted for _, wanted in host.requests] == ["bytes=500000-", None]


def test_wrong_checksum_is_refused_and_leaves_nothing(tmp_path: Path, host: Host) -> None:
    host.files["/set.gz"] = CONTENT[:-1] + b"x"

    with pytest.raises(DownloadFailed, match="the checksum differs from the published one"):
        fetch([host.url + "set.gz"], tmp_path / "set.gz", is_genuine, None, PATIENT)

    assert list(tmp_path.iterdir()) == []
    assert len(host.requests) == 1


def test_truncated_file_never_gets_its_name(tmp_path: Path, host: Host) -> None:
    host.cuts = [100_000, 1_000, 1_000]

    with pytest.raises(DownloadFailed, match=r"peer closed connection .*\(3 attempts\)"):
        fetch([host.url + "set.gz"], tmp_path / "set.gz", is_genuine, None, PATIENT)

    assert [path.name for path in tmp_path.iterdir()] == ["set.gz.part"]
    assert (tmp_path / "set.gz.part").read_bytes() == CONTENT[:102_000]


def test_truncation_without_a_length_is_found_by_the_checksum(tmp_path: Path, host: Host) -> None:
    host.length = False
    host.cuts = [100_000]

    with pytest.raises(DownloadFailed, match="the checksum differs"):
        fetch([host.url + "set.gz"], tmp_path / "set.gz", is_genuine, None, PATIENT)


def test_missing_file_is_not_asked_for_again(tmp_path: Path, host: Host) -> None:
    with pytest.raises(DownloadFailed, match=r"gone\.gz: 127\.0\.0\.1: it answers 404 Not Found"):
        fetch([host.url + "gone.gz"], tmp_path / "gone.gz", is_genuine, None, PATIENT)

    assert len(host.requests) == 1


def test_busy_host_is_asked_again(tmp_path: Path, host: Host) -> None:
    host.statuses = [503, 429]

    fetch([host.url + "set.gz"], tmp_path / "set.gz", is_genuine, None, PATIENT)

    assert (tmp_path / "set.gz").read_bytes() == CONTENT
    assert len(host.requests) == 3


@pytest.mark.parametrize("first", [lambda host: free_url(), lambda host: host.url + "gone.gz"])
def test_next_host_is_tried_when_one_fails(
    tmp_path: Path, host: Host, first: Callable[[Host], str]
) -> None:
    urls = [first(host), host.url + "set.gz"]

    fetch(urls, tmp_path / "set.gz", is_genuine, None, PATIENT)

    assert (tmp_path / "set.gz").read_bytes() == CONTENT


def test_offline_error_names_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    with pytest.raises(
        DownloadFailed, match=r"set\.gz: 127.0.0.1: .*Connection refused.*name it by RDG_DATA_DIR"
    ):
        fetch([free_url()], tmp_path / "set.gz", is_genuine, None, PATIENT)


def test_silent_host_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    patience = Patience(attempts=2, backoff_s=0.001, timeout_s=0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/set.gz"

        with pytest.raises(DownloadFailed, match=r"timed out \(2 attempts\)"):
            fetch([url], tmp_path / "set.gz", is_genuine, None, patience)


def test_endless_file_is_stopped_at_the_limit(
    tmp_path: Path, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "MAX_BYTES", 400_000)

    with pytest.raises(DownloadFailed, match="it sends more than 400,000 bytes"):
        fetch([host.url + "set.gz"], tmp_path / "set.gz", is_genuine, None, PATIENT)

    assert list(tmp_path.iterdir()) == []


def test_what_progress_raises_ends_the_transfer_and_keeps_the_part(
    tmp_path: Path, host: Host
) -> None:
    def cancel(done: int, total: int | None) -> None:
        raise InterruptedJob

    with pytest.raises(InterruptedJob):
        fetch([host.url + "set.gz"], tmp_path / "set.gz", is_genuine, cancel, PATIENT)

    assert [path.name for path in tmp_path.iterdir()] == ["set.gz.part"]


def test_folder_that_cannot_be_made_is_named(tmp_path: Path, host: Host) -> None:
    (tmp_path / "cache").write_text("a file, not a folder")

    with pytest.raises(SourceError, match="cache: File exists; make room and grant access"):
        fetch([host.url + "set.gz"], tmp_path / "cache" / "set.gz", is_genuine, None, PATIENT)


class InterruptedJob(Exception):
    """The caller wants no more of it."""
