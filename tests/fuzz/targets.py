"""What is fuzzed: the readers of bytes from outside, each with what it may say of them and with bytes to begin from.

A reader may return or raise one of its `refusals`. Anything else is a crash, and so is what it returns if that cannot
be written and read again. Seeds come from the types, so that a new message is fuzzed without anybody's doing.
"""

import asyncio
import gzip
import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import msgpack
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import ValidationError

from bus.errors import Unreadable
from bus.frames import VERBS, Frame, Garbage, arguments_of, error_of, frames, pack
from bus.transport import Envelope, Queue, Topology
from bus.wire import decode, encode
from control.sources import arrays, folder, idx
from control.sources.errors import SourceError
from edge_agent.errors import Invalid, Refused
from edge_agent.inputs import read_samples
from edge_agent.update import assemble
from learning import bundle
from schemas.documents import DOCUMENTS
from schemas.flow import FLOW
from schemas.model import Manifest
from store.errors import Damaged
from store.rules import read_document, write_document
from tests.edge_agent.releases import release
from tests.fuzz.mutation import Form
from tests.schemas.messages import examples, fields_of, plain

EXAMPLES = 8  # of each type

KINDS = {kind.topic: kind for kind in FLOW}
SCRATCH = Path("/dev/shm") if Path("/dev/shm").is_dir() else None


@dataclass(frozen=True)
class Target:
    """A reader to fuzz.

    Attributes:
        read: Is given the bytes.
        refusals: What it may raise.
        seeds: Inputs to begin from.
        share: Of all inputs of a run, in percent.
        form: How to see an input as values, so that these are changed and not only bytes.
        max_len: Bytes of an input.

    """

    read: Callable[[bytes], object]
    refusals: tuple[type[Exception], ...]
    seeds: Callable[[], Iterable[bytes]]
    share: int
    form: Form | None = None
    max_len: int = 4096


def read_wire(data: bytes) -> None:
    """The first byte says which message; what is read is written and read again."""
    kind = FLOW[data[0] % len(FLOW)] if data else FLOW[0]
    message = decode(data[1:], kind.topic, KINDS)
    again = decode(encode(message, "fuzz").body, kind.topic, KINDS)
    assert fields_of(again) == fields_of(message)


def wire_seeds() -> Iterable[bytes]:
    for number, kind in enumerate(FLOW):
        for message in examples(kind, EXAMPLES):
            yield bytes([number]) + encode(message, "fuzz").body


def read_frames(data: bytes) -> None:
    """What is on a socket. After an odd first byte comes the body of a frame instead, and gets its length."""
    body = data[1:]
    reader = asyncio.StreamReader(loop=LOOP)
    reader.feed_data(len(body).to_bytes(4, "big") + body if data[:1] and data[0] % 2 else body)
    reader.feed_eof()
    stream = frames(reader)
    while frame := _next(stream.__anext__()):
        _, verb, values = frame
        if verb == "failed":
            error_of(values)
        else:
            arguments_of(verb, values)


def _next(coroutine: Any) -> Frame | None:
    """Run what never waits, because all bytes are there: a loop would take longer than the reading."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        frame: Frame = done.value
        return frame
    except StopAsyncIteration:
        return None
    raise AssertionError("it waits for more")


def frame_seeds() -> Iterable[bytes]:
    envelope = Envelope("orders", "1", b"body", {"ce-id": "1", "ce-type": "io.rdg.progress.v1"})
    yield b"\0" + pack(2, "send", (envelope,)) + pack(3, "stop", ())
    requests: dict[str, tuple[object, ...]] = {
        "declare": (Topology((Queue("packing.orders", "orders"),)),),
        "send": (envelope,),
        "follow": ("news", "newest"),
        "receive": ("packing.orders", 4, 30.0),
        "bury": (7, "reason", "trace"),
        "failed": ("Busy", "later"),
    }
    for number, verb in enumerate([*VERBS, "failed"]):
        values = requests.get(verb, ("packing.orders", 1, None))
        yield b"\1" + pack(number, verb, values)[4:]


def read_documents(data: bytes) -> None:
    """The first byte says which document; what is read is written and read again."""
    kind = DOCUMENTS[data[0] % len(DOCUMENTS)] if data else DOCUMENTS[0]
    document = read_document(kind, "key", data[1:].decode(errors="surrogateescape"))
    assert read_document(kind, "key", write_document(document)) == document


def document_seeds() -> Iterable[bytes]:
    for number, kind in enumerate(DOCUMENTS):
        for document in examples(kind, EXAMPLES):
            yield bytes([number]) + write_document(document).encode()


def read_parts(data: bytes) -> None:
    tensors = bundle.unpack(data)
    again = bundle.unpack(bundle.pack(tensors))
    assert plain(again) == plain(tensors)


def part_seeds() -> Iterable[bytes]:
    for dtype in ("uint8", "float16", "float32", "int64"):
        yield bundle.pack({"weight": np.ones((2, 3), dtype), "bias": np.ones(3, dtype)})
    yield from RELEASED.parts.values()


def read_release(data: bytes) -> None:
    """A release whose one part has these bytes, with the digest and the size that they have."""
    digest = hashlib.sha256(data).hexdigest()
    part = RELEASED.manifest.parts[0].model_copy(update={"digest": digest, "size_bytes": len(data)})
    assemble(RELEASED.manifest.model_copy(update={"parts": (part,)}), {digest: data})


def release_seeds() -> Iterable[bytes]:
    tensors: dict[str, NDArray[np.generic]] = {}
    for part in RELEASED.parts.values():
        tensors |= bundle.unpack(part)
    yield bundle.pack(tensors)
    yield from RELEASED.parts.values()


def read_manifest(data: bytes) -> None:
    assemble(Manifest.model_validate_json(data), RELEASED.parts)


def manifest_seeds() -> Iterable[bytes]:
    yield RELEASED.manifest.model_dump_json().encode()
    for manifest in examples(Manifest, EXAMPLES):
        yield manifest.model_dump_json().encode()


def read_npz(data: bytes) -> None:
    """An .npz file. After an odd first byte comes an array instead, and is put into a file that is sound."""
    path = FOLDER / "own.npz"
    if data[:1] and data[0] % 2:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("x.npy", data[1:])
            archive.writestr("y.npy", LABELS)
    else:
        path.write_bytes(data[1:])
    _read_by_all(path, arrays.read)


def _read_by_all(path: Path, read: Callable[[Path], object]) -> None:
    """Read as the server does and as a device does; that one refuses does not keep the other from reading."""
    with suppress(SourceError):
        read(path)
    with suppress(Invalid):
        read_samples(path, (2, 3))


def npz_seeds() -> Iterable[bytes]:
    for dtype in ("u1", "f2", ">i4", "U3", "?"):
        yield b"\1" + npy(np.zeros((2, 2, 3), dtype))
    yield b"\1" + npy(np.zeros((2, 3), "f4"))
    target = io.BytesIO()
    np.savez_compressed(target, x=np.zeros((2, 2, 3), "u1"), y=["a", "b"], classes=["a", "b"])
    yield b"\0" + target.getvalue()


def npy(array: Any) -> bytes:
    target = io.BytesIO()
    np.save(target, array)
    return target.getvalue()


def read_idx(data: bytes) -> None:
    """The first byte says how many dimensions; after an odd one the rest is packed first."""
    path = FOLDER / "idx"
    first = data[0] if data else 0
    path.write_bytes(gzip.compress(data[1:], 1) if first % 2 else data[1:])
    idx.read_array(path, 1 + first // 2 % 3)


def idx_seeds() -> Iterable[bytes]:
    content = bytes((0, 0, 8, 3)) + np.array([2, 2, 3], ">u4").tobytes() + bytes(12)
    yield bytes([4]) + content
    yield bytes([5]) + content
    yield bytes([4]) + gzip.compress(content)


def read_images(data: bytes) -> None:
    path = FOLDER / "classes" / "cat" / "image"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    _read_by_all(path, lambda _: folder.read(path.parent.parent))


def image_seeds() -> Iterable[bytes]:
    for mode in ("1", "L", "P", "RGB"):
        for kind in folder.FORMATS:
            target = io.BytesIO()
            try:
                Image.new(mode, (3, 2)).save(target, kind)
            except OSError:
                continue  # that format has no such mode
            yield target.getvalue()


LOOP = asyncio.new_event_loop()
FOLDER = Path(mkdtemp(dir=SCRATCH))
LABELS = npy(np.array([0, 1]))
RELEASED = release()

PACKED = Form(1, lambda body: msgpack.unpackb(body, strict_map_key=False), msgpack.packb)
DOCUMENT = Form(1, json.loads, lambda value: json.dumps(value).encode())
MANIFEST = replace(DOCUMENT, skip=0)

TARGETS: dict[str, Target] = {
    "wire": Target(read_wire, (Unreadable,), wire_seeds, 32, PACKED),
    "frames": Target(read_frames, (Garbage,), frame_seeds, 18, PACKED),
    "documents": Target(read_documents, (Damaged,), document_seeds, 20, DOCUMENT),
    "parts": Target(read_parts, (ValueError,), part_seeds, 12),
    "releases": Target(read_release, (Refused,), release_seeds, 6),
    "manifests": Target(read_manifest, (ValidationError, Refused), manifest_seeds, 6, MANIFEST),
    "npz": Target(read_npz, (), npz_seeds, 2),
    "idx": Target(read_idx, (SourceError,), idx_seeds, 3),
    "images": Target(read_images, (), image_seeds, 1),
}
"""By name. Shares go by what depends on it: who can reach the reader, and how fast it is."""
