"""The Celery application: every task carries its facility (ris.tenants.tasks)."""

from __future__ import annotations

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ris.settings")

app = Celery("ris", task_cls="ris.tenants.tasks:FacilityTask")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
