"""``manage.py migrate_all``: `public`, the template facility and every facility, then the application's rights."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection
from django_tenants.utils import get_public_schema_name

from ris.config import DatabaseAddress
from ris.tenants.context import forget_facilities
from ris.tenants.database import ensure_application_role, prepare_database
from ris.tenants.grants import grant_to_application
from ris.tenants.migrating import facility_schemas, migrate_schema, pending_schemas
from ris.tenants.models import TEMPLATE_SCHEMA, Facility
from ris.tenants.provisioning import provision


class Command(BaseCommand):
    help = "Bring every schema to the state of this code. Connects as the owner. May be repeated."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--public-only", action="store_true", help="Only `public` (used by this command itself).")
        parser.add_argument("--no-provision", action="store_true", help="Leave roles and code tables as they are.")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["public_only"]:
            migrate_schema(get_public_schema_name())
            return
        self._refuse_one_role_for_both()
        started = time.monotonic()
        prepare_database()
        if settings.APPLICATION_ROLE:
            ensure_application_role(settings.APPLICATION_ROLE, DatabaseAddress.parse(settings.DATABASE_URL).password)
        schemas = [TEMPLATE_SCHEMA, *facility_schemas()]
        behind = pending_schemas(schemas)
        if get_public_schema_name() in behind:
            self._migrate_public()
        migrated = [schema for schema in behind if schema != get_public_schema_name()]
        for schema in migrated:
            migrate_schema(schema)
        connection.set_schema_to_public()
        if settings.APPLICATION_ROLE:
            grant_to_application(settings.APPLICATION_ROLE, [get_public_schema_name(), *schemas])
        forget_facilities()
        if not options["no_provision"]:
            for facility in Facility.objects.all():
                if facility.is_active:
                    provision(facility)
        report = {"migrated": behind, "schemas": schemas, "seconds": round(time.monotonic() - started, 1)}
        self.stdout.write(json.dumps(report))

    @staticmethod
    def _refuse_one_role_for_both() -> None:
        owner = DatabaseAddress.parse(settings.RIS_OWNER_DATABASE_URL).user
        if settings.RIS_OWNER_DATABASE_URL and owner == settings.APPLICATION_ROLE:
            raise CommandError(
                "DATABASE_URL and RIS_OWNER_DATABASE_URL name the same role. The application is to own nothing: "
                "give it a role of its own (migrate_all makes it when the owner may)."
            )

    @staticmethod
    def _migrate_public() -> None:
        """In a process with only the shared apps: rendering the state of two hundred models takes half a minute."""
        manage = Path(settings.BASE_DIR) / "manage.py"
        answer = subprocess.run(
            [sys.executable, str(manage), "migrate_all", "--public-only"],
            env={**os.environ, "RIS_SHARED_APPS_ONLY": "1", "RIS_BOOTSTRAP": "0"},
            capture_output=True,
            text=True,
            check=False,
        )
        if answer.returncode:
            raise CommandError(f"The migration of public failed:\n{answer.stderr[-3000:]}")
