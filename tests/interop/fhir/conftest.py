from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.utils import timezone

from tests.conftest import files_in, shared_start
from tests.interop.fhir.house import Fhir, everybody


@pytest.fixture(scope="module")
def facility(django_db_setup: None, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """One of everything, made once for a module."""
    from django.test import override_settings

    from tests.interop.fhir.facility import filled

    folder = tmp_path_factory.mktemp("files")
    with shared_start(django_db_blocker), override_settings(**files_in(folder)), timezone.override("Africa/Nairobi"):
        made = filled()
        made.folder = folder
        yield made


@pytest.fixture
def fhir(facility: Any, alpha: Any) -> Iterator[Fhir]:
    """A client of somebody who holds every clinical right; the facility's files are where they were put."""
    from django.test import override_settings

    with override_settings(**files_in(facility.folder)):
        yield Fhir(everybody())
