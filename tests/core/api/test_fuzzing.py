"""A little of ``make check-api`` in every run of the tests: every third operation, with values of either kind."""

from __future__ import annotations

import os
import zlib

import pytest

from tests.core.api.fuzzing import fuzz, seeded

EXAMPLES = int(os.environ.get("CHECK_API_EXAMPLES", "1"))
ONLY = os.environ.get("CHECK_API_ONLY", "")

pytestmark = pytest.mark.django_db


def is_asked(label: str) -> bool:
    return ONLY in label if ONLY or EXAMPLES > 1 else zlib.crc32(label.encode()) % 3 == 0


def test_no_operation_fails_or_answers_what_the_document_does_not_say(alpha):
    result = fuzz(seeded(), examples=EXAMPLES, only=is_asked)
    told = "\n\n".join(f"{label}: {words}" for label, words in sorted(result.findings.items()))
    assert not result.findings, f"{len(result.findings)} operations of {result.calls} calls:\n{told}"
    assert result.calls > (EXAMPLES * 170 if not ONLY else 0)
    assert {200, 400, 404} <= set(result.statuses) or ONLY
