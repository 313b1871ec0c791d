"""Samples are read from arrays and images; anything else is one clear line."""

import io
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edge_agent import inputs
from edge_agent.errors import Invalid
from edge_agent.inputs import read_samples
from tests.edge_agent.releases import SHAPE, samples
from tests.fuzz.memory import peak_bytes


def saved(array: object) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.asarray(array), allow_pickle=True)
    return buffer.getvalue()


def zipped(**arrays: object) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, array in arrays.items():
            archive.writestr(f"{name}.npy", saved(array))
    return buffer.getvalue()


def drawn(pixels: object, kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(pixels)).save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("many.npy", saved(samples())),
        ("fortran.NPY", saved(np.asfortranarray(samples()))),
        ("only.npz", zipped(anything=samples())),
        ("named.npz", zipped(labels=[1], samples=samples())),
    ],
)
def test_arrays_are_read(tmp_path: Path, name: str, content: bytes) -> None:
    file = tmp_path / name
    file.write_bytes(content)

    np.testing.assert_array_equal(read_samples(file, SHAPE), samples())


def test_one_sample_alone_becomes_a_batch_of_one(tmp_path: Path) -> None:
    file = tmp_path / "one.npy"
    file.write_bytes(saved(samples()[0]))

    np.testing.assert_array_equal(read_samples(file, SHAPE), samples()[:1])


@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 3)])
@pytest.mark.parametrize("kind", ["PNG", "BMP"])
def test_image_is_read_in_the_model_s_colours(
    tmp_path: Path, shape: tuple[int, ...], kind: str
) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    file = tmp_path / "image"
    file.write_bytes(drawn(pixels, kind))

    np.testing.assert_array_equal(read_samples(file, shape), pixels[np.newaxis])


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("cut.npy", saved(samples())[:-1], "it is damaged, or no array of numbers"),
        ("cut.npz", zipped(samples=samples())[:-30], "it is damaged, or no array of numbers"),
        ("empty.npy", b"", "it is damaged, or no array of numbers"),
        ("text.npy", b"hello", "it is damaged, or no array of numbers"),
        ("array.npz", saved(samples()), "it is damaged, or no array of numbers"),
        ("zip.npy", zipped(samples=samples()), "it is damaged, or no array of numbers"),
        ("pickle.npy", saved([{"a": 1}]), "it is damaged, or no array of numbers"),
        ("pickle.npz", zipped(samples=[{}]), "it is damaged, or no array of numbers"),
        ("huge.npy", saved(samples()).replace(b"(5, 8, 8)", b"(5, 9**9)"), "it is damaged"),
        ("many.npz", zipped(a=[1], b=[2]), "holds 2 arrays; name one of them 'samples'"),
        ("cut.png", drawn(samples()[0], "PNG")[:-40], "no whole PNG, JPEG, BMP, GIF image"),
        ("text.png", b"hello", "no whole PNG, JPEG, BMP, GIF image"),
        ("large.png", drawn(samples()[0][:4], "PNG"), "4 x 8 pixels; resize it to 8 x 8"),
        ("deep.png", drawn(samples()[0].astype(np.uint16), "PNG"), "save it as 8-bit grey or RGB"),
    ],
)
def test_unusable_file_is_named_with_a_remedy(
    tmp_path: Path, name: str, content: bytes, reason: str
) -> None:
    file = tmp_path / name
    file.write_bytes(content)

    with pytest.raises(Invalid, match=reason) as refusal:
        read_samples(file, SHAPE)

    assert str(refusal.value).startswith(str(file))


def test_header_that_claims_too_much_allocates_nothing(tmp_path: Path) -> None:
    header = saved(samples()).replace(b"(5, 8, 8)", b"(5, 8, 8000000000)")
    file = tmp_path / "claim.npy"
    file.write_bytes(header)

    with pytest.raises(Invalid, match="it is damaged"):
        read_samples(file, SHAPE)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"none\.npy: there is no such file"):
        read_samples(tmp_path / "none.npy", SHAPE)


def test_image_for_a_model_of_features_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "image.png"
    file.write_bytes(drawn(samples()[0], "PNG"))

    with pytest.raises(Invalid, match=r"takes 20 features; give them as \.npy"):
        read_samples(file, (20,))


def test_image_without_pillow_names_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "image.png"
    file.write_bytes(drawn(samples()[0], "PNG"))
    monkeypatch.setitem(sys.modules, "PIL", None)

    with pytest.raises(Invalid, match=r"install rdg-bus\[server\]; or give the pixels as \.npy"):
        read_samples(file, SHAPE)


def test_bomb_is_refused_before_it_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inputs, "MAX_BYTES", 10**6)
    file = tmp_path / "bomb.npz"
    np.savez_compressed(file, samples=np.zeros(64 * 2**20, np.uint8))

    def read() -> None:
        with pytest.raises(Invalid, match=r"unpacks to 67,108,992 bytes, over 1,000,000; split it"):
            read_samples(file, SHAPE)

    assert peak_bytes(read) < 2**20
