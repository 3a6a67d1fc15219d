"""The history of a report with the exams it was over, in two statements: an autosave comes every few seconds."""

from __future__ import annotations

from typing import Any

from django.db import connections
from simple_history.models import HistoricalRecords


class ExamsHistory(HistoricalRecords):
    """As the library keeps rows of many-to-many fields, copied where they are instead of being fetched first."""

    def create_historical_record_m2ms(self, history_instance: Any, instance: Any) -> None:
        connection = connections[history_instance._state.db]
        quote = connection.ops.quote_name
        for field in history_instance._history_m2m_fields:
            through = field.remote_field.through
            columns = ", ".join(quote(row.column) for row in through._meta.concrete_fields)
            kept = quote(self.m2m_models[field]._meta.db_table)
            whose = quote(through._meta.get_field(field.m2m_field_name()).column)
            with connection.cursor() as cursor:
                cursor.execute(
                    f"insert into {kept} ({columns}, history_id) select {columns}, %s from"
                    f" {quote(through._meta.db_table)} where {whose} = %s",
                    [history_instance.pk, instance.pk],
                )
