"""Teaching cases: kept beside a report, shown as cards, asked as a quiz, prepared and shared."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from orders.models import Modality
from reporting import permissions as perms
from reporting import selectors as report_selectors
from reporting.models import TeachingCase, TeachingImage
from reporting.selectors import teaching as selectors
from reporting.selectors.teaching import BOXES, TeachingFilter
from reporting.services import teaching as services
from ris.accounts.web import ActorRequest, page
from ris.audit.service import record_read
from ris.core.errors import NotKnown

CARDS = 24
TITLES = {
    "shared": (gettext_lazy("Teaching cases"), "school"),
    "mine": (gettext_lazy("My cases"), "user"),
    "offered": (gettext_lazy("Offered to share"), "inbox"),
}


#: What the form of a case holds.
WRITTEN = ("title", "diagnosis", "tags", "text", "question", "answer")


@never_cache
@page(perms.VIEW_TEACHING)
def teaching_list(request: ActorRequest) -> HttpResponse:
    """Cards. Modality and tag stand in the address; words are posted, as they may be anything."""
    box = request.GET.get("box", "shared")
    box = box if box in BOXES else "shared"
    modality, words = request.GET.get("modality", ""), request.POST.get("words", "")[:300]
    asked = TeachingFilter(box, modality if modality in Modality.values else "", request.GET.get("tag", "")[:30], words)
    rows = selectors.teaching_cases(asked, actor=request.actor)
    shown = Paginator(rows, CARDS).get_page(request.POST.get("page") or request.GET.get("page"))
    may_keep, may_share = request.actor.may(perms.KEEP_TEACHING), request.actor.may(perms.SHARE_TEACHING)
    allowed = {"shared": True, "mine": may_keep, "offered": may_share}
    context = {
        "nav": "teaching",
        "box": box,
        "title": TITLES[box][0],
        "boxes": [(key, *TITLES[key]) for key in BOXES if allowed[key]],
        "page": shown,
        "words": words,
        "quiz": "quiz" in request.GET,
        "modalities": Modality.choices,
        "tags": [(tag, tag) for tag in selectors.tags_in_use(actor=request.actor)],
    }
    return render(request, "reporting/teaching.html", context)


def _case(request: ActorRequest, uuid: UUID) -> TeachingCase:
    row = selectors.case_by_uuid(uuid, actor=request.actor)
    if row is None:
        raise NotKnown(_("There is no such teaching case here."))
    return row


@never_cache
@require_GET
@page(perms.VIEW_TEACHING)
def teaching_case(request: ActorRequest, uuid: UUID) -> HttpResponse:
    """The case; what it was stays closed until it is asked for."""
    row = _case(request, uuid)
    context = {
        "nav": "teaching",
        "case": row,
        "may_share": request.actor.may(perms.SHARE_TEACHING),
        "is_owner": row.owner_id == request.user.pk,
        **selectors.behind(row, actor=request.actor),
    }
    if context["source"] is not None:
        record_read(request.actor, perms.VIEW_TEACHING, entity=context["source"], detail={"teaching_case": str(uuid)})
    return render(request, "reporting/teaching_case.html", context)


@require_POST
@page(perms.KEEP_TEACHING)
def report_teaching(request: ActorRequest, uuid: UUID) -> HttpResponse:
    """Keep this report as a teaching case."""
    report = report_selectors.report_by_uuid(uuid, actor=request.actor)
    services.keep_case(
        report, diagnosis=request.POST.get("diagnosis", ""), tags=request.POST.get("tags", ""), actor=request.actor
    )
    if request.htmx:
        context = selectors.beside_report(report, actor=request.actor)
        return render(request, "reporting/_teaching.html", context)
    messages.success(request, _("Kept as a teaching case of yours."))
    return HttpResponseRedirect(reverse("report_detail", args=[report.uuid]))


def _to(row: TeachingCase) -> HttpResponseRedirect:
    return HttpResponseRedirect(reverse("teaching_case", args=[row.uuid]))


@require_POST
@page(perms.KEEP_TEACHING)
def teaching_change(request: ActorRequest, uuid: UUID) -> HttpResponse:
    given = {name: request.POST[name] for name in WRITTEN if name in request.POST}
    services.change_case(_case(request, uuid), **given, is_read="is_read" in request.POST, actor=request.actor)
    if "share" in request.POST:
        services.share_case(_case(request, uuid), actor=request.actor)
        messages.success(request, _("The department sees this case now."))
    else:
        messages.success(request, _("Saved."))
    return _to(_case(request, uuid))


@require_POST
@page(perms.KEEP_TEACHING)
def teaching_offer(request: ActorRequest, uuid: UUID) -> HttpResponse:
    row = services.offer_case(_case(request, uuid), actor=request.actor)
    messages.success(request, _("Radiologists find it under Offered to share."))
    return _to(row)


@require_POST
@page(perms.KEEP_TEACHING)
def teaching_withdraw(request: ActorRequest, uuid: UUID) -> HttpResponse:
    services.withdraw_case(_case(request, uuid), reason=request.POST.get("reason", ""), actor=request.actor)
    messages.success(request, _("The case is withdrawn."))
    return HttpResponseRedirect(f"{reverse('teaching_list')}?box=mine")


@require_POST
@page(perms.KEEP_TEACHING)
def teaching_image_choose(request: ActorRequest, uuid: UUID) -> HttpResponse:
    uid = request.POST.get("image", "")[:64]
    return _to(services.choose_image(_case(request, uuid), sop_instance_uid=uid, actor=request.actor))


@require_POST
@page(perms.KEEP_TEACHING)
def teaching_image_act(request: ActorRequest, uuid: UUID) -> HttpResponse:
    """``do``: confirm that nobody stands in the picture, or remove it."""
    image = TeachingImage.objects.visible_to(request.actor).select_related("case").filter(uuid=uuid).first()
    if image is None:
        raise NotKnown(_("There is no such image here."))
    act = services.confirm_image if request.POST.get("do") == "confirm" else services.remove_image
    return _to(act(image, actor=request.actor).case)
