from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tests.factories.accounts import several_actors
from tests.factories.reporting import make_referrer


@pytest.fixture
def people(alpha: Any) -> SimpleNamespace:
    """One of each who reads, checks or receives."""
    actors = several_actors(
        radiologist=("Wekesa", "radiologist"),
        other=("Mutua", "radiologist"),
        resident=("Chebet", "resident"),
        clerk=("Kamau", "clerk"),
        refers=("Barasa", "referring_physician"),
    )
    return SimpleNamespace(referrer=make_referrer(actor=actors.pop("refers")), **actors)
