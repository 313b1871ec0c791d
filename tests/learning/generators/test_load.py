"""What `learning.generators` offers by name."""

import subprocess
import sys

import pytest

from learning.generators import BUILT_IN, load


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_generator_answers_to_its_name(name: str) -> None:
    assert load(name).name == name


def test_an_unknown_name_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(ValueError, match="'vae' is unknown; there are original, gmm, gan, ga, mix"):
        load("vae")


def test_only_the_gan_imports_torch_and_none_imports_sklearn_before_a_fit() -> None:
    script = (
        "import sys; from learning.generators import load\n"
        "[load(name) for name in ('original', 'gmm', 'ga', 'mix')]\n"
        "sys.exit(bool({'torch', 'sklearn'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
