"""The page behind the link in an alert. Opening it acknowledges nothing; a button does."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from reporting import permissions as perms
from reporting.models import AnswerLink
from reporting.services.critical_links import (
    CODE_MINUTES,
    answer_link,
    asks_code,
    check_code,
    link_of,
    note_opened,
    refuse_ended,
    send_code,
)
from ris.accounts.actors import actor_of
from ris.accounts.web import admit
from ris.audit.service import record_read
from ris.core.actor import Actor
from ris.core.errors import NotPermitted
from ris.notifications.models import Channel
from ris.tenants.middleware import address_of

LINK_DOOR = "link"


def _session_key(link: AnswerLink) -> str:
    return f"critical-link:{link.uuid}"


def _has_proved(request: HttpRequest, link: AnswerLink) -> bool:
    return request.session.get(_session_key(link), 0) > timezone.now().timestamp()


@never_cache
@require_http_methods(["GET", "POST"])
def critical_answer(request: HttpRequest, token: str) -> HttpResponse:
    """Whoever the link was made for signs in, or gives the code, sees the finding and says that they act on it."""
    link = link_of(token)
    if request.method == "GET" and request.GET.get("done") and link.used_at is not None:
        return render(request, "reporting/critical_answer.html", {"done": True})
    refuse_ended(link)
    is_recipient = request.user.is_authenticated and link.recipient_id == request.user.pk
    if asks_code() and not is_recipient:
        actor = Actor(LINK_DOOR, None, address=address_of(request)[:64])
        if not _has_proved(request, link):
            return _ask_code(request, link, actor)
    else:
        answer = admit(request, perms.ANSWER_LINK)
        if answer is not None:
            return answer
        actor = actor_of(request)
        if not is_recipient:
            raise NotPermitted(
                _("This link was made for somebody else."), todo=_("Open the alert on the board of critical results.")
            )
    note_opened(link)
    if request.method == "POST" and request.POST.get("do") == "answer":
        answer_link(link, actor=actor)
        request.session.pop(_session_key(link), None)
        return HttpResponseRedirect(f"{request.path}?done=1")
    critical = link.critical_result
    record_read(actor, perms.VIEW_CRITICAL, entity=critical, detail={"page": "link"})
    context = {"critical": critical, "patient": critical.procedure.order.patient, "link": link}
    return render(request, "reporting/critical_answer.html", context)


def _ask_code(request: HttpRequest, link: AnswerLink, actor: Actor) -> HttpResponse:
    """A code sent to the other address stands for the sign-in."""
    was_sent = bool(link.code_digest)
    if request.method == "POST" and request.POST.get("do") == "send":
        send_code(link, actor=actor)
        was_sent = True
    elif request.method == "POST":
        check_code(link, request.POST.get("code", ""), actor=actor)
        request.session.cycle_key()  # nobody who planted the session has proved it too
        request.session[_session_key(link)] = timezone.now().timestamp() + CODE_MINUTES * 60
        return HttpResponseRedirect(request.path)
    way = dict(Channel.choices).get(link.code_channel, "")
    return render(
        request, "reporting/critical_answer.html", {"ask_code": True, "was_sent": was_sent, "way": way, "link": link}
    )
