"""``make check-data DIR=...``: a folder of messages and dose objects from outside, fed to a facility of the tests'
database. It is not
collected: it needs a folder, and the data stay where they are."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

FOLDER = os.environ.get("CHECK_DATA", "")


def test_the_folder_goes_in(alpha: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert FOLDER, "Say which folder: make check-data DIR=/somewhere"
    expected = Path(os.environ["EXPECTED"]) if os.environ.get("EXPECTED") else None
    with capsys.disabled():
        call_command("check_data", FOLDER, facility="alpha", quiet="QUIET" in os.environ, expected=expected)
