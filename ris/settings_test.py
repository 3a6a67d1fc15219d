"""Settings of the tests. The environment comes first: pytest-django loads settings before tests/conftest.py.

Tables are made from the models, not by migrations (one test runs those); tests/conftest.py says which server.
"""

from __future__ import annotations

import os
from pathlib import Path

_own = Path(__file__).resolve().parent.parent / ".ris" / "test"
for _name in [name for name in os.environ if name.startswith("RIS_") and not name.startswith(("RIS_PG_", "RIS_TEST_"))]:
    del os.environ[_name]
os.environ.update(
    RIS_STATE=str(_own),
    RIS_STATIC_FOLDER=str(_own / "static"),
    RIS_DEMO="1",
    RIS_SECRET_KEY="only-for-tests-0123456789-abcdefghijklmnopqrstuvwxyz",
    RIS_METRICS_TOKEN="metrics-token-of-the-tests",
    RIS_LOG_LEVEL="ERROR",
    DATABASE_URL="postgresql://ris_app:unset@127.0.0.1:1/unset",
)
os.environ.pop("REDIS_URL", None)

from ris.settings import *  # noqa: E402, F403
from ris.settings import INSTALLED_APPS  # noqa: E402


class _NoMigrations(dict):
    """Every app's tables are made from its models."""

    def __contains__(self, label: object) -> bool:
        return True

    def __getitem__(self, label: str) -> None:
        return None


MIGRATION_MODULES = _NoMigrations() if INSTALLED_APPS else {}
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
ORIGINAL_BACKEND = "django.db.backends.postgresql"  # nobody reads how long the statements of a test took
AXES_ENABLED = False
CELERY_TASK_ALWAYS_EAGER = True
CELERY_TASK_EAGER_PROPAGATES = True
CELERY_BROKER_URL = "memory://"
EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
# A test client loads the middleware anew: without this, each one lists all static files again.
WHITENOISE_AUTOREFRESH = True
