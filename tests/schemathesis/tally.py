"""Counts the answers, so that a run that only ever met refusals is seen as such.

Written to the file that `MAINSTAY_TALLY` names when the run ends.
"""

from __future__ import annotations

import atexit
import os
from collections import Counter, defaultdict

import schemathesis

ANSWERS = defaultdict(Counter)
EXCEPTIONS = Counter()


@schemathesis.hook
def after_call(context, case, response):
    kind = "?"
    if case.meta is not None:
        kind = "valid" if case.meta.generation.mode.is_positive else "invalid"
    ANSWERS[f"{case.operation.method.upper()} {case.operation.path}"][kind, response.status_code] += 1


@atexit.register
def write():
    total, valid, good, good_of_valid, failed = 0, 0, 0, 0, 0
    lines = []
    for operation, answers in sorted(ANSWERS.items()):
        count = sum(answers.values())
        sent = {kind: sum(n for (k, _), n in answers.items() if k == kind) for kind in ("valid", "invalid")}
        success = {
            kind: sum(n for (k, s), n in answers.items() if k == kind and s // 100 in (2, 3))
            for kind in ("valid", "invalid", "?")
        }
        statuses = Counter()
        for (_, status), n in answers.items():
            statuses[status] += n
        lines.append(
            f"{operation:45} {count:6} requests, {sent['valid']:5} valid, of these "
            f"{share(success['valid'], sent['valid'])} succeeded;  "
            + " ".join(f"{status}×{n}" for status, n in sorted(statuses.items()))
        )
        total += count
        valid += sent["valid"]
        good += sum(success.values())
        good_of_valid += success["valid"]
        failed += sum(n for status, n in statuses.items() if status >= 500)
    lines.append(
        f"{total} requests, {share(good, total)} answered with 2xx or 3xx; "
        f"{valid} valid ones, {share(good_of_valid, valid)}; 5xx: {failed}"
    )
    for name, count in EXCEPTIONS.items():
        lines.append(f"exception used {count} times: {name.replace('_', ' ')}")
    with open(os.environ["MAINSTAY_TALLY"], "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")


def share(part, whole):
    return f"{100 * part / whole:.0f} %" if whole else "none"
