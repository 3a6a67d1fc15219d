"""The environment is read typed, and refused loudly when it is wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from ris.config import DatabaseAddress, Environment, read_env_file

ROOT = Path(__file__).resolve().parents[2]


def test_values_are_read_by_their_kind():
    env = Environment({"RIS_A": "8080", "RIS_B": "yes", "RIS_C": "x, y,", "RIS_D": "redis://host/0"})
    assert env.port("RIS_A", 1, "") == 8080
    assert env.flag("RIS_B", False, "") is True
    assert env.words("RIS_C", (), "") == ["x", "y"]
    assert env.url("RIS_D", "", ("redis",), "") == "redis://host/0"
    env.finish()


def test_everything_that_is_wrong_is_named_at_once():
    env = Environment({"RIS_A": "70000", "RIS_B": "maybe", "RIS_C": "mysql://x/y", "RIS_DICOM_PROT": "1"})
    env.port("RIS_A", 1, "")
    env.flag("RIS_B", False, "")
    env.url("RIS_C", "", ("postgresql",), "")
    env.port("RIS_DICOM_PORT", 11112, "")
    with pytest.raises(ImproperlyConfigured) as refusal:
        env.finish()
    said = str(refusal.value)
    for part in ("RIS_A", "70000", "RIS_B", "'maybe'", "RIS_C", "RIS_DICOM_PROT", "did you mean RIS_DICOM_PORT?"):
        assert part in said


def test_a_secret_is_not_repeated_in_a_refusal():
    env = Environment({"DATABASE_URL": "mysql://user:secret@host/x"})
    env.url("DATABASE_URL", "", ("postgresql",), "")
    with pytest.raises(ImproperlyConfigured) as refusal:
        env.finish()
    assert "secret" not in str(refusal.value)


def test_a_database_address_is_taken_apart():
    address = DatabaseAddress.parse("postgresql://us%40er:p%2Fw@db.example:5433/ris?sslmode=require")
    assert (address.user, address.password, address.host, address.port) == ("us@er", "p/w", "db.example", "5433")
    assert (address.name, address.options) == ("ris", {"sslmode": "require"})


def test_an_env_file_is_read(tmp_path):
    (tmp_path / "env").write_text("# comment\nRIS_A=1=2\n\nRIS_B = x \n")
    assert read_env_file(tmp_path / "env") == {"RIS_A": "1=2", "RIS_B": "x"}
    assert read_env_file(tmp_path / "none") == {}


def start(**variables: str) -> subprocess.CompletedProcess[str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith("RIS_") and key != "DATABASE_URL"}
    return subprocess.run(
        [sys.executable, "-c", "import ris.settings"],
        cwd=ROOT,
        env={**clean, "RIS_STATE": "/nonexistent", "DATABASE_URL": "postgresql://a:b@127.0.0.1:1/x", **variables},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("key", ["", "short", "x" * 80])
def test_outside_of_the_demo_a_weak_secret_stops_the_start(key):
    answer = start(RIS_SECRET_KEY=key)
    assert answer.returncode != 0
    assert "RIS_SECRET_KEY must be 50 random characters or more" in answer.stderr


def test_a_strong_secret_starts():
    assert start(RIS_SECRET_KEY="Qw3rtzuiopAsdfghjklYxcvbnm1234567890-_QwertzuiopAsd").returncode == 0


def test_without_a_database_the_start_says_so():
    answer = start(RIS_SECRET_KEY="Qw3rtzuiopAsdfghjklYxcvbnm1234567890-_QwertzuiopAsd", DATABASE_URL="")
    assert "DATABASE_URL is not set" in answer.stderr
