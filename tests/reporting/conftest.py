from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tests.factories.accounts import actor_with_roles
from tests.factories.reporting import make_referrer


@pytest.fixture
def people(alpha: Any) -> SimpleNamespace:
    """One of each who reads, checks or receives."""
    return SimpleNamespace(
        radiologist=actor_with_roles("radiologist", family_name="Wekesa"),
        other=actor_with_roles("radiologist", family_name="Mutua"),
        resident=actor_with_roles("resident", family_name="Chebet"),
        clerk=actor_with_roles("clerk"),
        referrer=make_referrer(),
    )
