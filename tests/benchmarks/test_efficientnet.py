"""Weights are read from a torch file without running anything that it says."""

from io import BytesIO

import torch

from benchmarks.efficientnet import read


def test_weights_of_an_old_torch_file_are_read_as_they_were_written() -> None:
    written = {
        "stem.weight": torch.randn(3, 3, 4, 5).permute(3, 2, 0, 1),  # as TensorFlow lays it out
        "norm.bias": torch.randn(7),
        "norm.num_batches_tracked": torch.tensor(9),
        "deep.weight": torch.randn(6, 1, 5, 5),
    }
    file = BytesIO()
    torch.save(written, file, _use_new_zipfile_serialization=False)
    file.seek(0)

    found = read(file)

    assert found.keys() == written.keys()
    for name, tensor in written.items():
        assert torch.equal(found[name], tensor), name
