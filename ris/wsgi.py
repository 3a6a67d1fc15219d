"""The WSGI entry point: ``gunicorn ris.wsgi``."""

from __future__ import annotations

import os

from django.core.wsgi import get_wsgi_application

import ris.celery  # noqa: F401  the web process publishes tasks through this application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ris.settings")
application = get_wsgi_application()
