"""A run's result, for people and for scripts."""

import json
from collections import Counter, defaultdict
from collections.abc import Sequence

from tests.chaos.run import Recovery, Result


def table(result: Result) -> str:
    """Return the figures as a table."""
    by_kind: defaultdict[str, list[Recovery]] = defaultdict(list)
    for each in result.recoveries:
        by_kind[each.fault.kind].append(each)
    rows = [_row(kind, of_kind) for kind, of_kind in sorted(by_kind.items())]
    rows.append(_row("all", result.recoveries))
    head = ("fault", "injected", "recovered", "median s", "slowest s")
    lines = [f"{a:<24} {b:>9} {c:>10} {d:>9} {e:>10}" for a, b, c, d, e in (head, *rows)]
    return "\n".join([*lines, "", *_summary(result)])


def as_json(result: Result) -> str:
    """Return every figure, job and fault as JSON."""
    return json.dumps(
        {
            "name": result.plan.name,
            "seconds": result.seconds,
            "jobs": [vars(each) for each in result.jobs],
            "faults": [
                {**vars(each.fault), "recovery_s": each.seconds, "problem": each.problem}
                for each in result.recoveries
            ],
            "asked_again": result.asked_again,
            "violations": list(result.violations),
        },
        indent=1,
    )


def _row(kind: str, of_kind: Sequence[Recovery]) -> tuple[str, str, str, str, str]:
    seconds = sorted(each.seconds for each in of_kind if not each.problem) or [0.0]
    recovered = sum(not each.problem for each in of_kind)
    median, slowest = seconds[len(seconds) // 2], seconds[-1]
    return (kind, str(len(of_kind)), str(recovered), f"{median:.1f}", f"{slowest:.1f}")


def _summary(result: Result) -> list[str]:
    jobs = Counter(each.site for each in result.jobs)
    as_undisturbed = sum(not each.problem for each in result.jobs)
    slowest = max((each.seconds for each in result.jobs), default=0.0)
    return [
        f"{len(result.jobs)} jobs ({', '.join(f'{n} {site}' for site, n in sorted(jobs.items()))}), "
        f"{as_undisturbed} ended as undisturbed, the slowest after {slowest:.1f} s",
        f"{sum(result.asked_again.values())} calls of clients failed and were repeated, "
        f"{sum(each.resumed > 0 for each in result.jobs)} jobs were asked for again where they stood",
        f"{len(result.violations)} violations after {result.seconds:.0f} s",
        *result.violations,
    ]
