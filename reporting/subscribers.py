"""Loaded by every process: what falls due here is known to every dispatcher."""

from reporting import escalation

__all__ = ["escalation"]
