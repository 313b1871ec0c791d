"""A model answers with class names, and says what is wrong with samples that do not fit."""

import numpy as np
import pytest

from edge_agent.errors import Invalid
from edge_agent.update import assemble
from learning import inference
from learning.samples import Samples
from tests.edge_agent.releases import ARCHITECTURE, CLASSES, parameters, release, samples


def test_answer_is_that_of_the_inference() -> None:
    released = release()
    model = assemble(released.manifest, released.parts)

    answer = model.predict(samples(40))

    expected = inference.forward(ARCHITECTURE, parameters(1), samples(40))
    assert answer.labels == tuple(CLASSES[row] for row in expected.probabilities.argmax(axis=1))
    assert len(set(answer.labels)) > 1
    np.testing.assert_array_equal(answer.confidence, expected.probabilities.max(axis=1))
    np.testing.assert_array_equal(answer.latents, expected.latents)


@pytest.mark.parametrize(
    ("unfit", "reason"),
    [
        (samples()[:, :7], r"shape \(5, 7, 8\), reshape to \(n, 8, 8\)"),
        (samples()[0], r"reshape to \(n, 8, 8\)"),
        (samples().astype(np.float32), "dtype float32, convert to uint8"),
        (samples()[:0], "none, give at least one"),
    ],
)
def test_samples_that_do_not_fit_are_named(unfit: Samples, reason: str) -> None:
    released = release()
    model = assemble(released.manifest, released.parts)

    with pytest.raises(Invalid, match=reason):
        model.predict(unfit)


def test_description_names_version_classes_and_parts() -> None:
    released = release(3)

    line = assemble(released.manifest, released.parts).describe()

    assert line.startswith("digits@3 runs: 3 classes, 0.0 MB, from backbone ")
    assert released.manifest.parts[1].digest[:12] in line
