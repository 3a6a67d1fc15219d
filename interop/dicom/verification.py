"""Verification SCP (PS3.4 Annex A)."""

from __future__ import annotations

from interop.dicom.dimse import Request, c_echo
from ris.core.actor import Actor

VERIFICATION = "1.2.840.10008.1.1"


@c_echo(VERIFICATION, allowed_by="may_echo", door="echo")
def on_echo(request: Request, actor: Actor) -> None:
    """To have been let in is all that a C-ECHO asks."""
