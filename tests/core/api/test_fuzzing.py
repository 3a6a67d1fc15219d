"""A little of ``make check-api`` in every run of the tests: every third operation, with values of either kind."""

from __future__ import annotations

import os
import zlib

import pytest

from tests.core.api.fuzzing import fuzz, seeded

EXAMPLES = int(os.environ.get("CHECK_API_EXAMPLES", "1"))
ONLY = os.environ.get("CHECK_API_ONLY", "")
#: Many examples are spread over all processes
PARTS = 12 if EXAMPLES > 1 and not ONLY else 1

pytestmark = pytest.mark.django_db


def is_asked(label: str, part: int) -> bool:
    place = zlib.crc32(label.encode())
    return ONLY in label if ONLY else place % PARTS == part if EXAMPLES > 1 else place % 3 == 0


@pytest.mark.parametrize("part", range(PARTS))
def test_no_operation_fails_or_answers_what_the_document_does_not_say(alpha, part):
    result = fuzz(seeded(), examples=EXAMPLES, only=lambda label: is_asked(label, part))
    told = "\n\n".join(f"{label}: {words}" for label, words in sorted(result.findings.items()))
    assert not result.findings, f"{len(result.findings)} operations of {result.calls} calls:\n{told}"
    assert result.calls > 170 or ONLY
    assert {200, 400, 404} <= set(result.statuses) or ONLY
    assert result.statuses[401] <= result.calls // 50, "who is turned away asks nothing"
