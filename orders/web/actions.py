"""What may be done with one exam of an order: each named action with its form, its right and its service."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from orders import permissions as perms
from orders import selectors, services
from orders.models import ProcedureStatus, RequestedProcedure
from orders.models.orders import OPEN_BEFORE_EXAM
from orders.services import ProcedureRequest
from orders.services.intake import HOLD_LASTS, REOPENED
from orders.services.lifecycle import HELD
from orders.web import forms as shapes
from ris.accounts.web import page
from ris.core.errors import DomainError, InvalidData, NotKnown

S = ProcedureStatus
#: A field of a service, as a form calls it.
FORM_NAMES = {"by": "code", "held_until": "until", "held_by": "owner"}
UNDECIDED = (S.REQUESTED, S.VETTING, S.INFO_REQUESTED, S.ON_HOLD)


@dataclass(frozen=True)
class Verb:
    """``run(row, data, actor)`` does it; ``is_open(row)`` says whether the lifecycle knows this step from here."""

    key: str
    words: Any
    done: Any
    icon: str
    right: str
    form: type[forms.Form]
    run: Callable[..., Any]
    is_open: Callable[[RequestedProcedure], bool]
    is_main: bool = False


def replace_exam(row: RequestedProcedure, *, actor: Any, code: str, laterality: str, **reason: str) -> Any:
    """``replace_procedure`` with the other exam as a form names it."""
    by = ProcedureRequest(code, laterality=laterality)
    return services.replace_procedure(row, by=by, **reason, actor=actor)


def _can(status: str) -> Callable[[RequestedProcedure], bool]:
    return lambda row: row.can_move_to(status)


VERBS: dict[str, Verb] = {
    verb.key: verb
    for verb in (
        Verb(
            "accept",
            gettext_lazy("Accept"),
            gettext_lazy("Accepted."),
            "clipboard-check",
            perms.VET_PROCEDURE,
            shapes.AcceptForm,
            services.accept_procedure,
            lambda row: row.status in UNDECIDED and not row.is_unmapped,
            is_main=True,
        ),
        Verb(
            "map",
            gettext_lazy("Choose the exam"),
            gettext_lazy("The exam is chosen."),
            "link",
            perms.CHANGE_ORDER,
            shapes.MapForm,
            services.change_procedure,
            lambda row: row.is_unmapped and row.status in OPEN_BEFORE_EXAM,
            is_main=True,
        ),
        Verb(
            "answer",
            gettext_lazy("Answer"),
            gettext_lazy("The answer is noted."),
            "message",
            perms.ANSWER_INQUIRY,
            shapes.AnswerForm,
            services.answer_information,
            lambda row: row.status == S.INFO_REQUESTED,
            is_main=True,
        ),
        Verb(
            "release",
            gettext_lazy("Release"),
            gettext_lazy("It goes on."),
            "player-play",
            perms.HOLD_PROCEDURE,
            shapes.ReleaseForm,
            services.release_procedure,
            lambda row: row.status in HELD,
            is_main=True,
        ),
        Verb(
            "reopen",
            gettext_lazy("Reopen"),
            gettext_lazy("The exam is open again."),
            "lock-open",
            perms.CHANGE_ORDER,
            shapes.ReopenForm,
            services.reopen_procedure,
            lambda row: row.status in REOPENED,
            is_main=True,
        ),
        Verb(
            "protocol",
            gettext_lazy("Protocol"),
            gettext_lazy("The protocol is stored."),
            "clipboard-list",
            perms.VET_PROCEDURE,
            shapes.ProtocolForm,
            services.protocol_procedure,
            lambda row: row.status in OPEN_BEFORE_EXAM and not row.is_unmapped,
            is_main=True,
        ),
        Verb(
            "ask",
            gettext_lazy("Ask the requester"),
            gettext_lazy("The requester is asked."),
            "help-circle",
            perms.HOLD_PROCEDURE,
            shapes.AskForm,
            services.request_information,
            _can(S.INFO_REQUESTED),
        ),
        Verb(
            "hold",
            gettext_lazy("Hold"),
            gettext_lazy("It is on hold."),
            "player-pause",
            perms.HOLD_PROCEDURE,
            shapes.HoldForm,
            services.hold_procedure,
            _can(S.ON_HOLD),
        ),
        Verb(
            "return",
            gettext_lazy("Vet again"),
            gettext_lazy("It is to be vetted again."),
            "arrow-back-up",
            perms.VET_PROCEDURE,
            shapes.ReturnForm,
            services.return_to_vetting,
            lambda row: row.status in (S.ACCEPTED, S.SCHEDULED),
        ),
        Verb(
            "change",
            gettext_lazy("Change"),
            gettext_lazy("The exam is changed."),
            "edit",
            perms.CHANGE_ORDER,
            shapes.ChangeExamForm,
            services.change_procedure,
            lambda row: row.status in OPEN_BEFORE_EXAM and not row.is_unmapped,
        ),
        Verb(
            "replace",
            gettext_lazy("Replace"),
            gettext_lazy("Another exam is in its place."),
            "replace",
            perms.CHANGE_ORDER,
            shapes.ReplaceForm,
            replace_exam,
            _can(S.REPLACED),
        ),
        Verb(
            "reject",
            gettext_lazy("Reject"),
            gettext_lazy("Rejected; the requester hears why."),
            "clipboard-x",
            perms.VET_PROCEDURE,
            shapes.CodedReasonForm,
            services.reject_procedure,
            _can(S.REJECTED),
        ),
        Verb(
            "cancel",
            gettext_lazy("Cancel"),
            gettext_lazy("Cancelled."),
            "ban",
            perms.CANCEL_ORDER,
            shapes.CodedReasonForm,
            services.cancel_procedure,
            _can(S.CANCELLED),
        ),
    )
}


class Doable:
    """What this person may do with the exams of one page. People to choose from are looked up once, if at all."""

    def __init__(self, actor: Any) -> None:
        self.actor = actor

    @cached_property
    def owners(self) -> list[tuple[Any, Any]]:
        return list(shapes.HoldForm().fields["owner"].choices)

    def of(self, row: RequestedProcedure, *, only: Iterable[str] = VERBS) -> list[dict[str, Any]]:
        """Each open action with its form."""
        found = []
        for key in only:
            verb = VERBS[key]
            if not verb.is_open(row) or not self.actor.may(verb.right):
                continue
            initial = {
                "protocol": row.protocol,
                "contrast": row.contrast,
                "contrast_decision": row.contrast_decision,
                "comments": row.comments_to_technologist,
                "code": "" if key in ("map", "replace") else row.code,
                "laterality": row.laterality,
                "until": timezone.localtime() + HOLD_LASTS,
            }
            form = verb.form(initial=initial, auto_id=f"id_{key}_{row.pk}_%s")
            if "owner" in form.fields:
                form.fields["owner"].widget.choices = self.owners
            found.append({"verb": key, "words": verb.words, "icon": verb.icon, "form": form, "is_main": verb.is_main})
        return found


def checked(form: forms.Form, asked: Any) -> dict[str, Any]:
    """The form's data, or the refusal that the middleware shows."""
    if not form.is_valid():
        raise InvalidData(
            _("Something is missing."),
            asked=str(asked),
            found="; ".join(f"{form[name].label}: {errors[0]}" for name, errors in form.errors.items()),
            todo=_("Go back, fill it in and send it again."),
            errors={name: list(errors) for name, errors in form.errors.items()},
        )
    return form.cleaned_data


@contextmanager
def labelled(form: forms.Form, asked: Any) -> Iterator[None]:
    """A refusal of single fields leaves the form behind: it says which of them by the words on the form."""
    try:
        yield
    except DomainError as refusal:
        if refusal.errors:
            lines = []
            for name, found in refusal.errors.items():
                said = " ".join(map(str, found if isinstance(found, (list, tuple)) else [found]))
                name = FORM_NAMES.get(name, name)
                lines.append(f"{form[name].label}: {said}" if name in form.fields else said)
            todo = _("Go back, fill it in and send it again.")
            refusal.asked, refusal.found, refusal.todo = str(asked), "; ".join(lines), todo
        raise


def local(address: str, otherwise: str) -> str:
    """An address of this house that a form asks to go on to."""
    is_ours = address.startswith("/") and url_has_allowed_host_and_scheme(address, allowed_hosts=None)
    return address if is_ours else otherwise


@require_POST
@never_cache
@page(perms.VIEW_ORDER)
def procedure_action(request: HttpRequest, uuid: UUID, verb: str) -> HttpResponse:
    row = selectors.procedures(actor=request.actor).filter(uuid=uuid).first()
    if row is None or verb not in VERBS:
        raise NotKnown(_("There is no such exam."))
    known = VERBS[verb]
    form = known.form(request.POST)
    data = checked(form, known.words)
    with labelled(form, known.words):
        known.run(row, **data, actor=request.actor)
    messages.success(request, str(known.done))
    page_of_order = reverse("order_detail", args=[row.order.uuid])
    return HttpResponseRedirect(local(request.POST.get("next", ""), page_of_order))
