"""Inputs that are small and ask for much, and what reading each of them takes.

`python -m tests.fuzz.bombs` runs every one in a process of its own and prints a line of JSON for it: the error that
it ended with, the megabytes that the process grew by and the seconds it took. What takes longer than PATIENCE_S is
killed. Memory is that of the operating system, so that what libraries take behind Python's back is counted too.
"""

import asyncio
import gzip
import io
import json
import os
import signal
import struct
import sys
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import msgpack
import numpy as np

from bus.frames import MAX_FRAME_BYTES, frames
from bus.wire import ARRAY, decode
from control.sources import arrays, folder, idx
from edge_agent.inputs import read_samples
from learning.bundle import unpack
from schemas.documents import Dataset, Job
from schemas.flow import FLOW, RehearsalSetReady, SamplesPredicted
from store.rules import read_document

MEGABYTE = 2**20
PATIENCE_S = 60

KINDS = {kind.topic: kind for kind in FLOW}

Read = Callable[[Path], object]


def wire(body: bytes, topic: str = RehearsalSetReady.topic) -> Read:
    return lambda _: decode(body, topic, KINDS)


def sent(data: bytes) -> Read:
    """Data on the socket of the local bus."""

    async def read() -> None:
        reader = asyncio.StreamReader()
        reader.feed_data(data)
        reader.feed_eof()
        async for _ in frames(reader):
            raise AssertionError("that is a frame")
        raise EOFError

    return lambda _: asyncio.run(read())


def frame(body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + body


def document(body: str) -> Read:
    return lambda _: read_document(Job, "a", body)


def parts_of_data(number: int) -> Read:
    body = '{"train": [' + "{}," * number + "{}]}"
    return lambda _: read_document(Dataset, "a", body)


def part(header: object, body: bytes = b"", length: int | None = None) -> Read:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    data = struct.pack("<Q", len(text) if length is None else length) + text + body
    return lambda _: unpack(data)


def tensor(shape: list[int], end: int) -> dict[str, object]:
    return {"dtype": "F32", "shape": shape, "data_offsets": [0, end]}


def array(shape: tuple[int, ...]) -> bytes:
    head = bytes((1, len(shape), 0, 0)) + np.array(shape, "<u4").tobytes()
    data = head.ljust(-(-len(head) // 16) * 16, b"\0")
    return bytes(msgpack.packb({"samples": msgpack.ExtType(ARRAY, data)}))


def file(content: bytes, name: str, read: Callable[[Path], object]) -> Read:
    def written(scratch: Path) -> object:
        path = scratch / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return read(path)

    return written


def npy(shape: str, values: bytes) -> bytes:
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + values


def npz(member: bytes, claimed: int | None = None) -> bytes:
    """A zip with one array; `claimed` replaces the size that it says the array has."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("samples.npy", member)
    if claimed is None:
        return target.getvalue()
    return target.getvalue().replace(struct.pack("<I", len(member)), struct.pack("<I", claimed))


def png(width: int, height: int, *chunks: tuple[bytes, bytes]) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    packed = zlib.compress(bytes(64 * MEGABYTE), 9)
    whole = [(b"IHDR", head), *chunks, (b"IDAT", packed), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in whole
    )


def gif(width: int, height: int) -> bytes:
    return b"GIF89a" + struct.pack("<HHBBB", width, height, 0, 0, 0) + b",\0\0\0\0\xff\xff\xff\xff;"


def idx_file(claimed: int) -> bytes:
    content = bytes((0, 0, 8, 1)) + struct.pack(">I", claimed) + ZEROS
    return gzip.compress(content, 1)


def of_class(path: Path) -> object:
    """Read the image as the one class of a folder of classes."""
    return folder.read(path.parent.parent)


def for_device(path: Path) -> object:
    return read_samples(path, (8, 8))


DEEP = 10**6
FOUR_GB = b"\xff" * 4
FULL = b"\xdc" + (10_000).to_bytes(2, "big")  # an array of as many entries as one may have
ZEROS = bytes(128 * MEGABYTE)

BOMBS: dict[str, tuple[str, Read]] = {
    "wire: arrays in arrays": ("Unreadable", wire(b"\x91" * DEEP)),
    "wire: maps in maps": ("Unreadable", wire(b"\x81\xa1a" * DEEP)),
    "wire: arrays that claim 4 billion": ("Unreadable", wire((b"\xdd" + FOUR_GB) * 1000)),
    "wire: maps that claim 4 billion": ("Unreadable", wire((b"\xdf" + FOUR_GB) * 1000)),
    "wire: text that claims 4 GB": ("Unreadable", wire(b"\xdb" + FOUR_GB)),
    "wire: bytes that claim 4 GB": ("Unreadable", wire(b"\xc6" + FOUR_GB)),
    "wire: array of numbers that claims 4 GB": ("Unreadable", wire(b"\xc9" + FOUR_GB + b"\x01")),
    "wire: full arrays in full arrays": ("Unreadable", wire(FULL * 1000 + bytes(10_000))),
    "wire: empty maps": ("Unreadable", wire(FULL + (FULL + b"\x80" * 10_000) * 400)),
    "wire: huge shape": ("Unreadable", wire(array((2**32 - 1,) * 8), SamplesPredicted.topic)),
    "wire: huge shape of nothing": (
        "Unreadable",
        wire(array((0,) + (2**32 - 1,) * 7), SamplesPredicted.topic),
    ),
    "wire: every entry is wrong": (
        "Unreadable",
        wire(msgpack.packb({"job": "a", "counts": {f"a,{n}": "x" for n in range(10_000)}})),
    ),
    "wire: a name of 4 MB": (
        "Unreadable",
        wire(msgpack.packb({"job": "a", "counts": {"a," * 2 * MEGABYTE: 1}})),
    ),
    "frames: a frame that claims 4 GB": ("Garbage", sent(FOUR_GB)),
    "frames: a frame that never comes": ("EOFError", sent(MAX_FRAME_BYTES.to_bytes(4, "big"))),
    "frames: arrays in arrays": ("Garbage", sent(frame(b"\x91" * DEEP))),
    "frames: empty maps": ("Garbage", sent(frame(FULL + (FULL + b"\x80" * 10_000) * 400))),
    "document: arrays in arrays": ("Damaged", document('{"spec": ' + "[" * DEEP)),
    "document: a number of a million digits": ("Damaged", document('{"revision": ' + "9" * DEEP)),
    "document: empty maps": ("Damaged", document('{"x": [' + "{}," * DEEP + "{}]}")),
    "document: as many empty maps as it may have": (
        "Damaged",
        document('{"x": [' + "{}," * 65_000 + "{}]}"),
    ),
    "document: every entry is wrong": ("Damaged", parts_of_data(DEEP)),
    "document: as many wrong entries as it may have": ("Damaged", parts_of_data(9_999)),
    "part: a header that claims 16 EB": ("ValueError", part(b"{}", length=2**64 - 1)),
    "part: a header that claims 1 MB": ("ValueError", part(b"{}", length=MEGABYTE)),
    "part: arrays in arrays": ("ValueError", part(b"[" * MEGABYTE)),
    "part: huge shape": ("ValueError", part({"a": tensor([2**40, 2**22], 4)}, bytes(4))),
    "part: shape beyond 64 bits": ("ValueError", part({"a": tensor([2**62, 4], 0)})),
    "part: tensors on the same bytes": (
        "ValueError",
        part({str(n): tensor([2**20], 2**22) for n in range(4000)}, bytes(2**22)),
    ),
    "part: more tensors than any model has": (
        "ValueError",
        part({f"{n:x}": tensor([0], 0) for n in range(15_000)}),
    ),
    "npz: unpacks to 128 MB, says 128 bytes": (
        "InvalidData",
        file(npz(npy("(8, 8)", ZEROS), 128), "a.npz", arrays.read),
    ),
    "npz: says 3 GB": ("InvalidData", file(npz(b"x" * 1000, 3 * 2**30), "a.npz", arrays.read)),
    "npz: an array that claims 1 TB": (
        "InvalidData",
        file(npz(npy("(1024, 1024, 1048576)", b"")), "a.npz", arrays.read),
    ),
    "npz on a device: unpacks to 128 MB": (
        "Invalid",
        file(npz(npy(f"({len(ZEROS)},)", ZEROS)), "a.npz", for_device),
    ),
    "npz on a device: unpacks to 128 MB, says 128 bytes": (
        "Invalid",
        file(npz(npy("(8, 8)", ZEROS), 128), "a.npz", for_device),
    ),
    "npy on a device: claims 1 TB": (
        "Invalid",
        file(npy("(1024, 1024, 1048576)", b""), "a.npy", for_device),
    ),
    "idx: unpacks to 128 MB, says 4 GB": (
        "InvalidData",
        file(idx_file(2**32 - 1), "a.gz", lambda path: idx.read_array(path, 1)),
    ),
    "idx: unpacks to 128 MB, says 1 MB": (
        "InvalidData",
        file(idx_file(MEGABYTE), "a.gz", lambda path: idx.read_array(path, 1)),
    ),
    "png: 50000 x 50000 pixels": (
        "InvalidData",
        file(png(50_000, 50_000), "cat/a.png", of_class),
    ),
    "png: text that unpacks to 64 MB": (
        "InvalidData",
        file(
            png(8, 8, (b"zTXt", b"a\0\0" + zlib.compress(bytes(64 * MEGABYTE)))),
            "cat/a.png",
            of_class,
        ),
    ),
    "gif: 1547 x 54635 pixels": ("InvalidData", file(gif(1547, 54_635), "cat/a.gif", of_class)),
    "gif: 65535 x 65535 pixels": ("InvalidData", file(gif(65_535, 65_535), "cat/a.gif", of_class)),
    "png on a device: 50000 x 50000 pixels": (
        "Invalid",
        file(png(50_000, 50_000), "a.png", for_device),
    ),
}


def detonate(name: str, scratch: Path) -> dict[str, object]:
    """Read a bomb in a child process and return how that went."""
    readable, writable = os.pipe()
    started = time.monotonic()
    child = os.fork()
    if child == 0:
        signal.alarm(PATIENCE_S)
        os.write(writable, b"%d " % resident())
        os.write(writable, outcome_of(BOMBS[name][1], scratch).encode())
        os._exit(0)
    os.close(writable)
    with os.fdopen(readable) as told:
        before, _, outcome = told.read().partition(" ")
    _, _, usage = os.wait4(child, 0)
    return {
        "name": name,
        "expected": BOMBS[name][0],
        "error": outcome or "killed",
        "megabytes": (usage.ru_maxrss * 1024 - int(before)) // MEGABYTE,
        "seconds": round(time.monotonic() - started, 2),
    }


def outcome_of(read: Read, scratch: Path) -> str:
    try:
        read(scratch)
    except Exception as error:  # noqa: BLE001  whatever it is, it is told
        return type(error).__name__
    return "read"


def resident() -> int:
    """Return the bytes that this process has in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    """Print how each bomb went."""
    for number, name in enumerate(BOMBS):
        with tempfile.TemporaryDirectory() as scratch:
            sys.stdout.write(json.dumps(detonate(name, Path(scratch) / str(number))) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
