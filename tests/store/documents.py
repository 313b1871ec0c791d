"""Documents of every type, by chance, with the names that field names of a database may not have."""

from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st

from schemas.documents import (
    Dataset,
    Device,
    Document,
    Fitted,
    Job,
    Model,
    ModelVersion,
    Monitor,
    RehearsalSet,
    SamplePart,
)
from schemas.job import FitSpec, RehearsalSpec
from schemas.model import GeneratorQuality, Likeness, PartRef, Provenance, Scores
from schemas.monitoring import MonitorPolicy, Observed, Watch

AWKWARD = ["0.5", "$x", "$set", "a.b", "_id", "%2E", "ünï", "\U0001f600", "'; DROP TABLE parts"]

names = st.from_regex(r"[a-z0-9][a-z0-9-]{0,20}", fullmatch=True)
digests = st.from_regex(r"[0-9a-f]{64}", fullmatch=True)
class_names = st.sampled_from(AWKWARD) | st.text(
    st.characters(exclude_categories=["C", "Z"], exclude_characters=","), min_size=1, max_size=64
)
texts = st.text(max_size=30)
counts = st.integers(0, 2**31)
whole = st.integers(-(2**63), 2**63 - 1)
fractions = st.floats(0, 1)
numbers = st.floats(allow_nan=False, allow_infinity=False)
times = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC))
options = st.dictionaries(names, whole | numbers | st.booleans() | texts, max_size=4)
classes = st.lists(class_names, max_size=4).map(tuple)

identity = {
    "id": st.text(min_size=1, max_size=128),
    "revision": counts,
    "created": times,
}
arrays: dict[str, st.SearchStrategy[Any]] = {
    "shape": st.lists(st.integers(1, 4096), min_size=1, max_size=3).map(tuple),
    "dtype": st.sampled_from(["uint8", "float32"]),
    "classes": classes,
}
sample_parts = st.builds(
    SamplePart, target=class_names, count=counts, digest=digests, size_bytes=counts
)
scores = st.builds(
    Scores,
    measured_on=texts,
    accuracy=fractions,
    per_class=st.dictionaries(class_names, fractions),
)
provenances = st.builds(Provenance, job=names, seed=counts, reviewer=texts, code_version=texts)
specs = st.builds(
    RehearsalSpec, model=names, new_data=names, generator=names, options=options, classes=classes
) | st.builds(FitSpec, model=names, generator=names, data=names, options=options, classes=classes)

observed = st.builds(
    Observed,
    since=times,
    confidence=st.lists(counts, max_size=10).map(tuple),
    predicted=st.lists(counts, max_size=4).map(tuple),
    latents=st.lists(counts, max_size=4).map(tuple),
    correct=counts,
    wrong=counts,
)

qualities = st.builds(
    GeneratorQuality,
    accuracy=st.none() | fractions,
    accuracy_real=st.none() | fractions,
    distance=fractions,
    distance_real=fractions,
    copies=fractions,
    copies_real=fractions,
)
likenesses = st.builds(Likeness, fidelity=fractions, coverage=fractions, drift=fractions)

STRATEGIES: dict[type[Document], st.SearchStrategy[Document]] = {
    Job: st.builds(
        Job,
        **identity,
        token=texts,
        model=names,
        spec=specs,
        reason=texts,
        fitted=st.dictionaries(class_names, st.lists(names, min_size=1).map(tuple)),
        rejected=st.dictionaries(texts, counts, max_size=16),
        updated=times,
    ),
    Dataset: st.builds(
        Dataset, **identity, **arrays, source=texts, train=st.lists(sample_parts).map(tuple)
    ),
    Fitted: st.builds(
        Fitted,
        **identity,
        **arrays,
        model=names,
        job=names,
        generator=names,
        data=names,
        options=options,
        seed=counts,
        digest=digests,
        size_bytes=counts,
        quality=st.none() | qualities,
    ),
    RehearsalSet: st.builds(
        RehearsalSet,
        **identity,
        job=names,
        model=names,
        generator=names,
        fitted=st.lists(names).map(tuple),
        parts=st.lists(sample_parts).map(tuple),
        counts=st.dictionaries(class_names, counts),
        mean_confidence=st.dictionaries(class_names, fractions),
        balance=fractions,
        distances=st.dictionaries(class_names, numbers),
        likeness=st.dictionaries(class_names, likenesses),
        status=st.sampled_from(["collected", "approved", "deleted"]),
    ),
    ModelVersion: st.builds(
        ModelVersion,
        **identity,
        **arrays,
        model=names,
        number=st.integers(1, 2**31),
        run=texts,
        architecture=texts,
        parts=st.lists(
            st.builds(PartRef, name=names, digest=digests, size_bytes=counts), max_size=3
        ).map(tuple),
        scores=scores,
        before=st.none() | scores,
        provenance=provenances,
        status=st.sampled_from(["candidate", "released", "refused"]),
    ),
    Model: st.builds(Model, **identity, released=st.none() | counts),
    Device: st.builds(
        Device,
        **identity,
        model=names,
        version=st.none() | st.integers(1, 2**31),
        state=texts,
        reported=times,
        observed=st.none() | observed,
        earlier=st.none() | observed,
    ),
    Monitor: st.builds(
        Monitor,
        **identity,
        policy=st.builds(MonitorPolicy, spec=st.builds(RehearsalSpec, model=names, new_data=names)),
        state=st.sampled_from(["on", "off"]),
        watch=st.none()
        | st.builds(
            Watch,
            version=st.integers(1, 2**31),
            alarms=counts,
            counted=st.none() | observed,
            reference=st.none() | observed,
            forgetting=fractions,
            armed=st.booleans(),
            fired=st.none() | times,
            figures=texts,
        ),
    ),
}
