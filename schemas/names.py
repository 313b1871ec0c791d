"""Names and digests: which text may name a thing. They end in routing keys, files and URLs, so they are strict."""

from collections.abc import Iterable
from hashlib import sha256
from typing import Annotated

from pydantic import StringConstraints

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$", max_length=63)]
"""A model, data set, generator, stage or device: lower case letters, digits and dashes."""

OptionName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$", max_length=63)]
"""An option of a generator: as a name, with underscores too."""

ClassName = Annotated[
    str,
    StringConstraints(pattern=r"^[^\x00-\x1f,]{1,64}$", max_length=64, strip_whitespace=True),
]
"""A class as people call it: any printable text without a comma, up to 64 characters."""

JobId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$", max_length=63)]

Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$", max_length=64)]
"""sha256 of a part's bytes, in hexadecimal: the part's name."""


def job_of(token: str) -> str:
    """Return the id of the job that a publisher submits by this token."""
    return f"j-{sha256(token.encode()).hexdigest()[:12]}"


def joint_digest(lines: Iterable[str]) -> str:
    """Return the digest of several texts in that order, such as the digests of parts; none has a line break."""
    return sha256("\n".join(lines).encode()).hexdigest()


def run_of(job: str, attempt: int) -> str:
    """Return the name of one attempt at a job."""
    return f"{job}.{attempt}"


def claims_of(run: str) -> str:
    """Return the owner of the large bodies of an attempt's messages; whoever ends it drops them."""
    return f"claims/{run}"


def set_of(run: str) -> str:
    """Return the owner of the samples that a job's attempt collected."""
    return f"set/{run}"


def model_of(run: str) -> str:
    """Return the owner of the parameters of the version that a job's attempt came to."""
    return f"model/{run}"


def work_of(run: str) -> str:
    """Return the owner of what a job's attempt keeps only while it runs."""
    return f"run/{run}"
