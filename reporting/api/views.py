"""``/api/v1/reports/`` and its kin: opened, written, signed and amended by the services only."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.http import HttpResponse
from django_filters import rest_framework as filters
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from orders.models import RequestedProcedure
from reporting import permissions as perms
from reporting import selectors, services
from reporting.api import serializers as shapes
from reporting.api.editor import EDITOR_CODES, EditorActions
from reporting.models import (
    CriticalCategory,
    CriticalResult,
    CriticalStatus,
    DeliveryChannel,
    DeliveryStatus,
    Report,
    ReportDelivery,
    ReportStatus,
    ReportVersion,
)
from reporting.pdf import render_report_pdf
from reporting.selectors.critical_compliance import GROUPS as COMPLIANCE_GROUPS
from reporting.selectors.critical_compliance import compliance
from reporting.selectors.reports import version_of
from reporting.services.checks import checks_of
from reporting.services.critical_report import add_sentence
from reporting.services.critical_setup import category_by_code
from reporting.services.writing import report_of
from ris.accounts.api.base import ChangeMixin, CreateMixin, FacilityViewSet, ListMixin, RetrieveMixin
from ris.accounts.models import Practitioner
from ris.accounts.services.sign_in import require_recent_authentication
from ris.audit.service import record_read
from ris.core.api import PlainRenderer
from ris.core.errors import InvalidData

EMPTY = shapes.NothingSerializer


def visible_procedures(uuids: Iterable[UUID], *, actor: Any) -> list[RequestedProcedure]:
    """The procedures of these UUIDs, as far as the actor may know of them; InvalidData names what is wrong."""
    wanted = list(dict.fromkeys(uuids))
    found = list(RequestedProcedure.objects.visible_to(actor).filter(uuid__in=wanted))
    if len(found) != len(wanted):
        raise InvalidData("A procedure is not known.", errors={"procedures": ["There is no such procedure here."]})
    return found


class PdfRenderer(PlainRenderer):
    media_type = "application/pdf"
    format = "pdf"
    charset = None


class ReportFilter(filters.FilterSet):
    procedure = filters.UUIDFilter(field_name="procedures__uuid", distinct=True)
    accession_number = filters.CharFilter(field_name="procedures__accession_number", max_length=16, distinct=True)
    patient = filters.UUIDFilter(field_name="procedures__order__patient__uuid", distinct=True)
    status = filters.MultipleChoiceFilter(choices=ReportStatus.choices)
    signed_after = filters.IsoDateTimeFilter(field_name="signed_at", lookup_expr="gte")
    updated_after = filters.IsoDateTimeFilter(field_name="updated_at", lookup_expr="gte")

    class Meta:
        model = Report
        fields: list[str] = []


class ReportViewSet(EditorActions, ListMixin, RetrieveMixin, CreateMixin, ChangeMixin, FacilityViewSet):
    """Reports. A signed version never changes: it is amended by ``addendum`` or ``correct``."""

    queryset = Report.objects.none()
    http_method_names = ["get", "post", "patch", "head", "options"]
    serializer_class = shapes.ReportSerializer
    serializer_classes = {
        "create": shapes.ReportOpenSerializer,
        "partial_update": shapes.ReportChangeSerializer,
        "sign_preliminary": shapes.PreliminarySerializer,
        "sign": shapes.SignSerializer,
        "addendum": shapes.AddendumSerializer,
        "correct": shapes.CorrectionSerializer,
        "retract": shapes.RetractionSerializer,
        "release": EMPTY,
        "take_over": shapes.ReasonSerializer,
        "discard": shapes.ReasonSerializer,
        "heartbeat": EMPTY,
    }
    filterset_class = ReportFilter
    permission_codes = {
        **EDITOR_CODES,
        "list": perms.VIEW_REPORT,
        "retrieve": perms.VIEW_REPORT,
        "versions": perms.VIEW_REPORT,
        "version": perms.VIEW_REPORT,
        "pdf": perms.VIEW_REPORT,
        "version_pdf": perms.VIEW_REPORT,
        "checks": perms.WRITE_REPORT,
        "create": perms.CLAIM_PROCEDURE,
        "partial_update": perms.WRITE_REPORT,
        "sign_preliminary": perms.SIGN_PRELIMINARY,
        "sign": perms.SIGN_REPORT,
        "addendum": perms.SIGN_REPORT,
        "correct": perms.SIGN_REPORT,
        "retract": perms.SIGN_REPORT,
        "release": perms.CLAIM_PROCEDURE,
        "heartbeat": perms.CLAIM_PROCEDURE,
        "take_over": perms.TAKE_OVER,
        "discard": perms.WRITE_REPORT,
    }

    def get_queryset(self) -> QuerySet[Report]:
        return selectors.reports(actor=self.actor)

    def _shown(self, report: Report, http_status: int = status.HTTP_200_OK, **headers: str) -> Response:
        """Read again, with everything that its resource shows."""
        return self.answer(self.get_queryset().get(pk=report.pk), http_status, **headers)

    def _proof(self, data: dict[str, Any]) -> dict[str, Any]:
        """Asks who is there; the rest of the body stays."""
        require_recent_authentication(
            self.request, password=data.pop("password", ""), otp_token=data.pop("otp_token", "")
        )
        return data

    @extend_schema(
        request=shapes.ReportOpenSerializer, responses={201: shapes.ReportSerializer, 200: shapes.ReportSerializer}
    )
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Open the report of these procedures and claim it: 201 for a new draft, 200 for the one that is there."""
        data = self.validated()
        procedures = visible_procedures(data["procedures"], actor=self.actor)
        is_new = report_of(procedures) is None
        report = services.open_report(procedures, actor=self.actor)
        if data.get("sections"):
            report = services.save_report(report, sections=data["sections"], revision=report.revision, actor=self.actor)
        location = request.build_absolute_uri(f"{request.path.rstrip('/')}/{report.uuid}/")
        return self._shown(report, status.HTTP_201_CREATED if is_new else status.HTTP_200_OK, Location=location)

    @extend_schema(request=shapes.ReportChangeSerializer, responses=shapes.ReportSerializer)
    def partial_update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Write sections; those not named stay. Refused when signed, held by another, or changed meanwhile (409)."""
        report = self.get_object()
        data = self.validated()
        return self._shown(
            services.save_report(report, sections=data["sections"], revision=data.get("revision"), actor=self.actor)
        )

    @extend_schema(request=shapes.PreliminarySerializer, responses=shapes.ReportSerializer)
    @action(detail=True, methods=["post"], url_path="sign-preliminary")
    def sign_preliminary(self, request: Request, uuid: str | None = None) -> Response:
        """A first reading that others may act on."""
        return self._shown(services.sign_preliminary(self.get_object(), **self.validated(), actor=self.actor))

    @extend_schema(request=shapes.SignSerializer, responses=shapes.ReportSerializer)
    @action(detail=True, methods=["post"])
    def sign(self, request: Request, uuid: str | None = None) -> Response:
        """The final signature. Needs a recent sign-in, or the password with it; API keys sign nothing."""
        report = self.get_object()
        return self._shown(services.sign_report(report, **self._proof(self.validated()), actor=self.actor))

    @extend_schema(request=shapes.AddendumSerializer, responses=shapes.ReportSerializer)
    @action(detail=True, methods=["post"])
    def addendum(self, request: Request, uuid: str | None = None) -> Response:
        """Add to what was signed."""
        report = self.get_object()
        return self._shown(services.add_addendum(report, **self._proof(self.validated()), actor=self.actor))

    @extend_schema(request=shapes.CorrectionSerializer, responses=shapes.ReportSerializer)
    @action(detail=True, methods=["post"])
    def correct(self, request: Request, uuid: str | None = None) -> Response:
        """A new version in place of the signed one, with the reason; recipients are told."""
        report = self.get_object()
        return self._shown(services.correct_report(report, **self._proof(self.validated()), actor=self.actor))

    @extend_schema(request=shapes.RetractionSerializer, responses=shapes.ReportSerializer)
    @action(detail=True, methods=["post"])
    def retract(self, request: Request, uuid: str | None = None) -> Response:
        """Entered in error: the exam is to be read anew."""
        report = self.get_object()
        return self._shown(services.retract_report(report, **self._proof(self.validated()), actor=self.actor))

    @extend_schema(request=EMPTY, responses=shapes.ReportSerializer)
    @action(detail=True, methods=["post"])
    def release(self, request: Request, uuid: str | None = None) -> Response:
        """Give the exam back to the list; the draft stays."""
        return self._shown(services.release_report(self.get_object(), actor=self.actor))

    @extend_schema(request=EMPTY, responses=OpenApiResponse(OpenApiTypes.OBJECT, description="`{is_mine: true}`"))
    @action(detail=True, methods=["post"])
    def heartbeat(self, request: Request, uuid: str | None = None) -> Response:
        """Keep the lock; it is free fifteen minutes after the last one."""
        return Response({"is_mine": services.beat(self.get_object(), actor=self.actor)})

    @extend_schema(request=shapes.ReasonSerializer, responses=shapes.ReportSerializer)
    @action(detail=True, methods=["post"], url_path="take-over")
    def take_over(self, request: Request, uuid: str | None = None) -> Response:
        """Become the reader in place of who holds it, with the reason."""
        return self._shown(services.take_over(self.get_object(), **self.validated(), actor=self.actor))

    @extend_schema(request=shapes.ReasonSerializer, responses=shapes.ReportSerializer)
    @action(detail=True, methods=["post"])
    def discard(self, request: Request, uuid: str | None = None) -> Response:
        """Close a draft that should not be."""
        return self._shown(services.discard_report(self.get_object(), **self.validated(), actor=self.actor))

    @extend_schema(responses=shapes.CheckSerializer(many=True))
    @action(detail=True, pagination_class=None, filterset_class=None)
    def checks(self, request: Request, uuid: str | None = None) -> Response:
        """What stands in the way of a signature now."""
        report = self.get_object()
        self.audit_read(report)
        return Response([check.as_dict() for check in checks_of(report)])

    @extend_schema(responses=shapes.VersionSerializer(many=True))
    @action(detail=True, pagination_class=None, filterset_class=None)
    def versions(self, request: Request, uuid: str | None = None) -> Response:
        """Every signed version, oldest first."""
        report = self.get_object()
        self.audit_read(report, page="versions")
        rows = report.versions.all() if self.actor.may(perms.WRITE_REPORT) else report.standing_versions
        return Response(shapes.VersionSerializer(rows, many=True).data)

    @extend_schema(
        responses=shapes.VersionSerializer, parameters=[OpenApiParameter("number", int, OpenApiParameter.PATH)]
    )
    @action(detail=True, url_path=r"versions/(?P<number>\d{1,5})")
    def version(self, request: Request, uuid: str | None = None, number: str = "") -> Response:
        """One signed version."""
        version = version_of(self.get_object(), number, actor=self.actor)
        self.audit_read(version)
        return Response(shapes.VersionSerializer(version).data)

    @extend_schema(
        responses={(200, "application/pdf"): OpenApiTypes.BINARY},
        parameters=[OpenApiParameter("number", int, OpenApiParameter.PATH)],
    )
    @action(detail=True, url_path=r"versions/(?P<number>\d{1,5})/pdf", renderer_classes=[PdfRenderer, JSONRenderer])
    def version_pdf(self, request: Request, uuid: str | None = None, number: str = "") -> HttpResponse:
        """One signed version on paper (A4)."""
        return self._paper(version_of(self.get_object(), number, actor=self.actor))

    def _paper(self, version: ReportVersion) -> HttpResponse:
        record_read(self.actor, perms.VIEW_REPORT, entity=version, detail={"page": "pdf", "version": version.number})
        response = HttpResponse(render_report_pdf(version), content_type="application/pdf")
        name = f"report-{version.report.uuid}-{version.number}.pdf"
        response["Content-Disposition"] = f'inline; filename="{name}"'
        return response

    @extend_schema(
        parameters=[OpenApiParameter("version", int, description="Number of the version; the newest without it.")],
        responses={(200, "application/pdf"): OpenApiTypes.BINARY},
    )
    @action(detail=True, renderer_classes=[PdfRenderer, JSONRenderer])
    def pdf(self, request: Request, uuid: str | None = None) -> HttpResponse:
        """A signed version on paper (A4)."""
        return self._paper(version_of(self.get_object(), request.query_params.get("version", ""), actor=self.actor))


class CriticalFilter(filters.FilterSet):
    status = filters.MultipleChoiceFilter(choices=CriticalStatus.choices)
    category = filters.MultipleChoiceFilter(choices=CriticalCategory.choices)
    alert_category = filters.CharFilter(field_name="alert_category__code", max_length=20)
    procedure = filters.UUIDFilter(field_name="procedure__uuid")

    class Meta:
        model = CriticalResult
        fields: list[str] = []


class CriticalResultViewSet(ListMixin, RetrieveMixin, CreateMixin, FacilityViewSet):
    """Findings that somebody must be told of, with every try to reach them."""

    queryset = CriticalResult.objects.none()
    serializer_class = shapes.CriticalResultSerializer
    serializer_classes = {
        "create": shapes.CriticalResultInputSerializer,
        "log_contact": shapes.ContactSerializer,
        "acknowledge": EMPTY,
        "withdraw": shapes.ReasonSerializer,
        "escalate": shapes.EscalateSerializer,
        "close": EMPTY,
        "reopen": shapes.ReasonSerializer,
        "addendum": shapes.ProofSerializer,
    }
    filterset_class = CriticalFilter
    permission_codes = {
        "list": perms.VIEW_CRITICAL,
        "retrieve": perms.VIEW_CRITICAL,
        "create": perms.RAISE_CRITICAL,
        "log_contact": perms.COMMUNICATE_CRITICAL,
        "acknowledge": perms.ACKNOWLEDGE_CRITICAL,
        "withdraw": perms.RAISE_CRITICAL,
        "escalate": perms.COMMUNICATE_CRITICAL,
        "close": perms.COMMUNICATE_CRITICAL,
        "reopen": perms.RAISE_CRITICAL,
        "addendum": perms.SIGN_REPORT,
        "compliance": perms.VIEW_CRITICAL,
    }

    def get_queryset(self) -> QuerySet[CriticalResult]:
        return selectors.critical_results(actor=self.actor)

    def _shown(self, critical: CriticalResult) -> Response:
        return self.answer(self.get_queryset().get(pk=critical.pk))

    def service_create(self, data: dict[str, Any]) -> CriticalResult:
        procedure = visible_procedures([data.pop("procedure")], actor=self.actor)[0]
        report = data.pop("report", None)
        if report is not None:
            report = selectors.report_by_uuid(report, actor=self.actor)
        if data.get("alert_category"):
            data["alert_category"] = category_by_code(data["alert_category"])
        return services.raise_critical_result(procedure, report=report, **data, actor=self.actor)

    @extend_schema(request=shapes.CriticalResultInputSerializer, responses={201: shapes.CriticalResultSerializer})
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Raise it: the clock runs, the requester is told."""
        return super().create(request, *args, **kwargs)

    @extend_schema(request=shapes.ContactSerializer, responses=shapes.CriticalResultSerializer)
    @action(detail=True, methods=["post"], url_path="log-contact")
    def log_contact(self, request: Request, uuid: str | None = None) -> Response:
        """Write down a try; reached and read back makes it communicated."""
        return self._shown(services.log_contact(self.get_object(), **self.validated(), actor=self.actor))

    @extend_schema(request=EMPTY, responses=shapes.CriticalResultSerializer)
    @action(detail=True, methods=["post"])
    def acknowledge(self, request: Request, uuid: str | None = None) -> Response:
        """A physician knows and acts."""
        return self._shown(services.acknowledge_critical(self.get_object(), actor=self.actor))

    @extend_schema(request=shapes.ReasonSerializer, responses=shapes.CriticalResultSerializer)
    @action(detail=True, methods=["post"])
    def withdraw(self, request: Request, uuid: str | None = None) -> Response:
        """It was none, with the reason."""
        return self._shown(services.withdraw_critical(self.get_object(), **self.validated(), actor=self.actor))

    @extend_schema(request=shapes.EscalateSerializer, responses=shapes.CriticalResultSerializer)
    @action(detail=True, methods=["post"])
    def escalate(self, request: Request, uuid: str | None = None) -> Response:
        """Tell the next in the chain now. With ``level``, a repeat of the same request alarms that level once."""
        return self._shown(services.escalate(self.get_object(), at_once=True, **self.validated(), actor=self.actor))

    @extend_schema(request=shapes.ReasonSerializer, responses=shapes.CriticalResultSerializer)
    @action(detail=True, methods=["post"])
    def reopen(self, request: Request, uuid: str | None = None) -> Response:
        """It has to be told again: the clock and the chain begin anew."""
        return self._shown(services.reopen_critical(self.get_object(), **self.validated(), actor=self.actor))

    @extend_schema(request=shapes.ProofSerializer, responses=shapes.CriticalResultSerializer)
    @action(detail=True, methods=["post"])
    def addendum(self, request: Request, uuid: str | None = None) -> Response:
        """Put the sentence of the call into the signed report, as an addendum. Asks for recent authentication."""
        critical = self.get_object()
        data = self.validated()
        require_recent_authentication(request, password=data.get("password", ""), otp_token=data.get("otp_token", ""))
        add_sentence(critical, actor=self.actor)
        return self._shown(critical)

    @extend_schema(
        parameters=[
            OpenApiParameter("by", str, enum=COMPLIANCE_GROUPS, description="What the lines are; `month` without it."),
            OpenApiParameter("months", int, description="How many months back, 1 to 36; 6 without it."),
        ],
        responses=shapes.ComplianceSerializer(many=True),
    )
    @action(detail=False, pagination_class=None, filterset_class=None)
    def compliance(self, request: Request) -> Response:
        """How many were told in time, and how long it took."""
        by, months = request.query_params.get("by", "month"), request.query_params.get("months", "6")
        if by not in COMPLIANCE_GROUPS or not months.isdecimal() or not 1 <= int(months[:3]) <= 36:
            raise InvalidData("This cannot be counted.", errors={"by": ", ".join(COMPLIANCE_GROUPS), "months": "1-36"})
        self.audit_read([], page="compliance")
        groups = compliance(actor=self.actor, by=by, months=int(months))
        return Response(shapes.ComplianceSerializer(groups, many=True).data)

    @extend_schema(request=EMPTY, responses=shapes.CriticalResultSerializer)
    @action(detail=True, methods=["post"])
    def close(self, request: Request, uuid: str | None = None) -> Response:
        """Done with, after it was told or acknowledged."""
        return self._shown(services.close_critical(self.get_object(), actor=self.actor))


class DeliveryFilter(filters.FilterSet):
    status = filters.MultipleChoiceFilter(choices=DeliveryStatus.choices)
    channel = filters.MultipleChoiceFilter(choices=DeliveryChannel.choices)
    report = filters.UUIDFilter(field_name="report__uuid")

    class Meta:
        model = ReportDelivery
        fields: list[str] = []


class DeliveryViewSet(ListMixin, RetrieveMixin, FacilityViewSet):
    """The ledger: who gets which version, and what became of it."""

    queryset = ReportDelivery.objects.none()
    serializer_class = shapes.DeliverySerializer
    serializer_classes = {
        "acknowledge": EMPTY,
        "send_again": EMPTY,
        "delegate": shapes.DelegateSerializer,
        "take_back": EMPTY,
    }
    filterset_class = DeliveryFilter
    permission_codes = {
        "list": perms.VIEW_RESULT,
        "retrieve": perms.VIEW_RESULT,
        "acknowledge": perms.VIEW_RESULT,
        "send_again": perms.MANAGE_DELIVERY,
        "delegate": perms.ACKNOWLEDGE_RESULT,
        "take_back": perms.ACKNOWLEDGE_RESULT,
    }

    def get_queryset(self) -> QuerySet[ReportDelivery]:
        return selectors.deliveries(actor=self.actor)

    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """One line; when its recipient asks for it, it counts as opened."""
        services.open_result(self.get_object(), actor=self.actor)
        return super().retrieve(request, *args, **kwargs)

    @extend_schema(request=EMPTY, responses=shapes.DeliverySerializer)
    @action(detail=True, methods=["post"])
    def acknowledge(self, request: Request, uuid: str | None = None) -> Response:
        """The recipient has read it; or the department notes that the recipient knows."""
        delivery = self.get_object()
        is_own = delivery.recipient is not None and delivery.recipient.user_id == request.user.pk
        service = services.mark_delivery_acknowledged
        if is_own or not self.actor.may(perms.MANAGE_DELIVERY):
            service = services.acknowledge_result
        return self.answer(self.get_queryset().get(pk=service(delivery, actor=self.actor).pk))

    @extend_schema(request=shapes.DelegateSerializer, responses=shapes.DeliverySerializer)
    @action(detail=True, methods=["post"])
    def delegate(self, request: Request, uuid: str | None = None) -> Response:
        """Pass one's own unread result on to a colleague."""
        delivery, data = self.get_object(), self.validated()
        colleague = Practitioner.objects.filter(uuid=data["to"], is_active=True).first()
        if colleague is None:
            raise InvalidData("The colleague is not known.", errors={"to": ["There is no such practitioner."]})
        line, _theirs = services.delegate_result(delivery, to=colleague, note=data["note"], actor=self.actor)
        return self.answer(self.get_queryset().get(pk=line.pk))

    @extend_schema(request=EMPTY, responses=shapes.DeliverySerializer)
    @action(detail=True, methods=["post"], url_path="take-back")
    def take_back(self, request: Request, uuid: str | None = None) -> Response:
        """One's own again, while the colleague has not read it."""
        return self.answer(services.take_back_result(self.get_object(), actor=self.actor))

    @extend_schema(request=EMPTY, responses=shapes.DeliverySerializer)
    @action(detail=True, methods=["post"], url_path="send-again")
    def send_again(self, request: Request, uuid: str | None = None) -> Response:
        """Once more to the same recipient."""
        delivery = services.send_delivery_again(self.get_object(), actor=self.actor)
        return self.answer(self.get_queryset().get(pk=delivery.pk))
