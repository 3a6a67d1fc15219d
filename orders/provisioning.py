"""What a facility is given: the guards of what was issued, in its own schema."""

from __future__ import annotations

from django.db import connection
from psycopg import sql

from ris.tenants.models import Facility
from ris.tenants.provisioning import provisions

#: The columns of an invoice that move; whatever else it says stays as it was issued.
MOVING = ("status", "status_changed_at", "paid", "credited", "version", "updated_at")
#: Whoever connects, and in whatever role: neither changed nor deleted.
GUARD = """
create or replace function {function}() returns trigger language plpgsql as $guard$
begin
    if tg_op = 'UPDATE' and tg_table_name = 'orders_invoice'
        and to_jsonb(new) - {moving}::text[] = to_jsonb(old) - {moving}::text[] then
        return new;
    end if;
    raise exception 'what was issued never changes' using errcode = 'restrict_violation';
end $guard$;
"""
TRIGGER = """
drop trigger if exists issued_never_changes on {table};
create trigger issued_never_changes before update or delete on {table}
    for each row execute function {function}();
"""
TABLES = ("orders_invoice", "orders_invoiceline", "orders_payment", "orders_paymentallocation")


@provisions("orders.money_guards")
def provision_money_guards(facility: Facility) -> None:
    ensure_money_guards(facility.schema_name)


def ensure_money_guards(schema: str) -> None:
    """Put the triggers on invoices and payments into a facility's schema; may run any number of times.

    Needs the owner. Facilities only: the template schema stays without, because a clone copies tables and refuses
    functions.
    """
    function = sql.Identifier(schema, "refuse_change_of_what_was_issued")
    moving = sql.Literal(list(MOVING))
    statements = [sql.SQL(GUARD).format(function=function, moving=moving)]
    statements += [sql.SQL(TRIGGER).format(function=function, table=sql.Identifier(schema, table)) for table in TABLES]
    with connection.cursor() as cursor:
        cursor.execute(sql.SQL("").join(statements))
