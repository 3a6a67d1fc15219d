"""TLS of the listeners: 1.2 and 1.3 only; a client's certificate counts when its authority is one that we believe."""

from __future__ import annotations

import ssl

from django.conf import settings


def server_context() -> ssl.SSLContext | None:
    """None where no certificate is configured. Raises OSError for files that cannot be read."""
    if not settings.RIS_TLS_CERTIFICATE:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=settings.RIS_TLS_CLIENT_CA or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(settings.RIS_TLS_CERTIFICATE, settings.RIS_TLS_KEY or None)
    context.verify_mode = ssl.CERT_OPTIONAL if settings.RIS_TLS_CLIENT_CA else ssl.CERT_NONE
    return context
