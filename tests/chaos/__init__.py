"""Chaos: a house of its own with durable storage, broken on purpose. Scripts, not tests; see README.md."""
