"""Short codes that become text: one's own, and those of everybody."""

from __future__ import annotations

import re
from collections.abc import Sequence

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from orders.models import RequestedProcedure
from reporting import merge
from reporting import permissions as perms
from reporting.models import Macro
from reporting.services.templates import check_words, require_change, values_for
from ris.audit.models import Action
from ris.audit.service import service
from ris.core.actor import Actor
from ris.core.errors import AlreadyExists, InvalidData

CODE = re.compile(r"[A-Za-z0-9_-]{2,24}")
LONGEST = 5_000


def macros_for(actor: Actor, language: str = "") -> QuerySet[Macro]:
    """One's own and the shared ones."""
    rows = Macro.objects.visible_to(actor).filter(is_active=True).order_by("code", "pk")
    return rows.filter(language=language) if language else rows


def usable_macros(
    actor: Actor, procedures: Sequence[RequestedProcedure], language: str, values: dict[str, str] | None = None
) -> list[dict[str, str]]:
    """``[{code, text}]`` for one report, merge fields filled; one's own stands before a shared one of the same code,
    the report's language before others."""
    chosen: dict[str, Macro] = {}
    ranked = sorted(macros_for(actor), key=lambda row: (row.owner_id is not None, row.language == language))
    for row in ranked:
        chosen[row.code.lower()] = row
    if not chosen:
        return []
    values = values_for(procedures, language) if values is None else values
    found = sorted(chosen.values(), key=lambda row: row.code.lower())
    return [{"code": row.code, "text": merge.filled(row.text, values)} for row in found]


def _checked(code: str, words: str) -> None:
    if not CODE.fullmatch(code):
        raise InvalidData(_("A short code has 2 to 24 letters or digits."), errors={"code": _("Not a short code.")})
    if not words.strip():
        raise InvalidData(_("The text is empty."), errors={"text": _("Needed.")})
    if len(words) > LONGEST:
        raise InvalidData(
            _("The text is too long."), errors={"text": _("Longer than %(count)d characters.") % {"count": LONGEST}}
        )
    check_words({"text": words})


@service(perms.WRITE_REPORT, action=Action.UPDATE)
def save_macro(
    macro: Macro | None = None,
    *,
    code: str,
    words: str,
    language: str = "en",
    is_shared: bool = False,
    is_active: bool = True,
    actor: Actor,
) -> Macro:
    """Make a macro or change one; without ``macro`` the one of that code is changed. Shared ones need the right."""
    words = words.replace("\r\n", "\n")
    _checked(code, words)
    owner = None if is_shared else actor.user
    same = Macro.objects.filter(code=code, owner=owner, language=language, is_active=True)
    if macro is None:
        macro = same.first() or Macro(owner=owner)
    else:
        macro = Macro.locked(macro.pk)
        require_change(macro, actor)
        if is_active and same.exclude(pk=macro.pk).exists():
            raise AlreadyExists(_("There is a macro of that code."), errors={"code": _("Taken.")})
    macro.owner = owner
    require_change(macro, actor)
    macro.code, macro.text, macro.language, macro.is_active = code, words, language, is_active
    macro.save_as(actor, "Saved")
    return macro
