"""``column__like``: a LIKE pattern as it stands; Django's own lookups escape the wildcards."""

from __future__ import annotations

from django.db.models import CharField, Lookup


@CharField.register_lookup
class Like(Lookup):
    lookup_name = "like"

    def get_prep_lookup(self) -> str:
        return str(self.rhs)

    def as_sql(self, compiler, connection):
        left, left_params = self.process_lhs(compiler, connection)
        right, right_params = self.process_rhs(compiler, connection)
        return f"{left} LIKE {right}", [*left_params, *right_params]
