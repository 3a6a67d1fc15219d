"""A little of ``make check-api`` in every run of the tests: each operation is asked with values of either kind."""

from __future__ import annotations

import os

import pytest

from tests.core.api.fuzzing import fuzz, seeded

EXAMPLES = int(os.environ.get("CHECK_API_EXAMPLES", "1"))
ONLY = os.environ.get("CHECK_API_ONLY", "")

pytestmark = pytest.mark.django_db


def test_no_operation_fails_or_answers_what_the_document_does_not_say(alpha):
    result = fuzz(seeded(), examples=EXAMPLES, only=lambda label: ONLY in label)
    told = "\n\n".join(f"{label}: {words}" for label, words in sorted(result.findings.items()))
    assert not result.findings, f"{len(result.findings)} operations of {result.calls} calls:\n{told}"
    assert result.calls > (EXAMPLES * 500 if not ONLY else 0)
    assert {200, 400, 404} <= set(result.statuses) or ONLY
