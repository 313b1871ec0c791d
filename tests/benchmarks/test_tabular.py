"""Rehearsal is for any data: on a table, too, it keeps what plain training forgets."""

from benchmarks.tabular import compare


async def test_rehearsal_beats_naive_training_on_a_table() -> None:
    naive = await compare("naive", seed=0)
    rehearsed = await compare("gmm", seed=0)

    assert naive.accuracy < 0.5
    assert rehearsed.accuracy > naive.accuracy + 0.4
    assert 0 < rehearsed.bytes_per_class < 4096
