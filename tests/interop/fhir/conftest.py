from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import files_in, shared_start
from tests.interop.fhir.house import Fhir, everybody


@pytest.fixture(scope="module")
def facility(django_db_setup: None, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """One of everything, made once for a module."""
    from django.test import override_settings

    from tests.interop.fhir.facility import filled

    with shared_start(django_db_blocker), override_settings(**files_in(tmp_path_factory.mktemp("files"))):
        yield filled()


@pytest.fixture
def fhir(facility: Any, alpha: Any) -> Fhir:
    """A client of somebody who holds every clinical right."""
    return Fhir(everybody())
