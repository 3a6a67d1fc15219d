"""What several resources share."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from ris.core.errors import NotKnown


def of_this_facility(queryset: QuerySet, what: str, **lookup: Any) -> Any:
    """The one row that is meant, or 404 with the name of the field that named it."""
    row = queryset.filter(**lookup).first()
    if row is None:
        raise NotKnown(f"There is no such {what} in this facility.", errors={what: ["Not known."]})
    return row
