"""Mutated bytes through the pure layers: they are refused as the layers say, and nothing else happens."""

from __future__ import annotations

from tests.chaos import fuzz


def test_mutated_bytes_are_refused_and_nothing_else():
    assert fuzz.in_process(12_000).endswith("0 other errors")
