"""The OpenAPI document says each thing once and under a name that means something."""

from __future__ import annotations

import io

import pytest
from django.core.management import call_command
from drf_spectacular.drainage import GENERATOR_STATS

pytestmark = pytest.mark.django_db


def test_the_document_is_made_without_a_warning(alpha):
    GENERATOR_STATS.reset()
    document = io.StringIO()
    call_command("spectacular", stdout=document)
    assert dict(GENERATOR_STATS._warn_cache) == {}
    assert dict(GENERATOR_STATS._error_cache) == {}
    assert "DiscontinuationReasonEnum:" in document.getvalue()
