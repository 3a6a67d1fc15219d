"""What a facility is given: the guards of signed versions, in its own schema, and the starter templates."""

from __future__ import annotations

from django.db import connection
from psycopg import sql

from reporting.services.critical_chain import ensure_categories
from reporting.services.reading import ensure_sla_targets
from reporting.services.search import index_missing
from reporting.services.templates import ensure_templates
from ris.tenants.models import Facility
from ris.tenants.provisioning import provisions

#: Whoever connects, and in whatever role: what was signed is neither changed nor deleted.
GUARD = """
create or replace function {function}() returns trigger language plpgsql as $guard$
begin
    raise exception 'a signed version never changes' using errcode = 'restrict_violation';
end $guard$;
drop trigger if exists {trigger} on {table};
create trigger {trigger} before update or delete on {table}
    for each row execute function {function}();
"""
GUARDED = {
    "reporting_reportversion": "signed_version_never_changes",
    "reporting_cosignature": "co_signature_never_changes",
    "reporting_reportrecall": "recall_never_changes",
}


@provisions("reporting.guards")
def provision_guards(facility: Facility) -> None:
    ensure_guards(facility.schema_name)


@provisions("reporting.templates")
def provision_templates(facility: Facility) -> None:
    ensure_templates()


@provisions("reporting.report_times")
def provision_report_times(facility: Facility) -> None:
    ensure_sla_targets()


def ensure_guards(schema: str) -> None:
    """Put the trigger on signed versions into a facility's schema; may run any number of times. Needs the owner.

    Facilities only: the template schema stays without, because a clone copies tables and refuses functions.
    """
    with connection.cursor() as cursor:
        for table, trigger in GUARDED.items():
            cursor.execute(
                sql.SQL(GUARD).format(
                    function=sql.Identifier(schema, "refuse_change_of_signed_version"),
                    table=sql.Identifier(schema, table),
                    trigger=sql.Identifier(trigger),
                )
            )


@provisions("reporting.words")
def provision_words(facility: Facility) -> None:
    index_missing()


@provisions("reporting.critical_categories")
def provision_critical_categories(facility: Facility) -> None:
    ensure_categories()
