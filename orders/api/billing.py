"""``/api/v1/`` payer-schemes, prices, coverages, pre-authorisations, billing-codes, invoices, payments, revenue."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http import HttpResponse
from django_filters import rest_framework as filters
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from orders import permissions as perms
from orders import revenue as figures
from orders import selectors, services
from orders import selectors_billing as money_selectors
from orders.api import billing_serializers as shapes
from orders.api.serializers import PlainReasonSerializer
from orders.api.support import of_this_facility
from orders.invoice_pdf import render_invoice_pdf, render_receipt_pdf
from orders.models import (
    AuthorisationStatus,
    BillingCode,
    CatalogueProcedure,
    CodeSystem,
    Coverage,
    Invoice,
    InvoiceKind,
    InvoiceStatus,
    PayerKind,
    PayerScheme,
    Payment,
    PaymentKind,
    PaymentMethod,
    PreAuthorisation,
    PriceItem,
)
from ris.accounts.api.base import ChangeMixin, CreateMixin, FacilityAPIView, FacilityViewSet, ListMixin, RetrieveMixin
from ris.audit.models import Action
from ris.audit.service import record

PDF = {(200, "application/pdf"): OpenApiTypes.BINARY}


class SchemeFilter(filters.FilterSet):
    kind = filters.MultipleChoiceFilter(choices=PayerKind.choices)
    is_active = filters.BooleanFilter()

    class Meta:
        model = PayerScheme
        fields: list[str] = []


class SchemeViewSet(ListMixin, RetrieveMixin, CreateMixin, ChangeMixin, FacilityViewSet):
    """Who pays, and by which rules."""

    queryset = PayerScheme.objects.none()
    serializer_class = shapes.SchemeSerializer
    serializer_classes = {"create": shapes.SchemeInputSerializer, "partial_update": shapes.SchemeInputSerializer}
    filterset_class = SchemeFilter
    ordering_fields = ("id", "name")
    permission_codes = {
        "list": perms.VIEW_CHARGE,
        "retrieve": perms.VIEW_CHARGE,
        "create": perms.MANAGE_PRICES,
        "partial_update": perms.MANAGE_PRICES,
    }

    def get_queryset(self) -> QuerySet[PayerScheme]:
        return money_selectors.schemes(active_only=False)

    def service_create(self, data: dict[str, Any]) -> PayerScheme:
        return services.save_scheme(**data, actor=self.actor)

    def service_change(self, scheme: PayerScheme, data: dict[str, Any]) -> PayerScheme:
        return services.save_scheme(scheme, **data, actor=self.actor)

    @extend_schema(request=shapes.SchemeInputSerializer, responses={201: shapes.SchemeSerializer})
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().create(request, *args, **kwargs)

    @extend_schema(request=shapes.SchemeInputSerializer(partial=True), responses=shapes.SchemeSerializer)
    def partial_update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().partial_update(request, *args, **kwargs)


class PriceFilter(filters.FilterSet):
    code = filters.CharFilter()
    exam = filters.CharFilter(field_name="catalogue__code")
    scheme = filters.CharFilter(field_name="scheme__code")
    on = filters.DateFilter(method="valid_on", help_text="What holds on that day.")

    class Meta:
        model = PriceItem
        fields: list[str] = []

    def valid_on(self, queryset: Any, name: str, value: Any) -> Any:
        return queryset.on(value)


class PriceViewSet(ListMixin, RetrieveMixin, CreateMixin, FacilityViewSet):
    """Price lists. A new price is a new row; the one before it ends the day before."""

    queryset = PriceItem.objects.none()
    serializer_class = shapes.PriceSerializer
    serializer_classes = {"create": shapes.PriceInputSerializer, "end": shapes.LastDaySerializer}
    filterset_class = PriceFilter
    ordering_fields = ("id", "code")
    permission_codes = {
        "list": perms.VIEW_CHARGE,
        "retrieve": perms.VIEW_CHARGE,
        "create": perms.MANAGE_PRICES,
        "end": perms.MANAGE_PRICES,
    }

    def get_queryset(self) -> QuerySet[PriceItem]:
        return money_selectors.prices()

    def service_create(self, data: dict[str, Any]) -> PriceItem:
        exam, scheme = data.pop("exam"), data.pop("scheme")
        row = of_this_facility(CatalogueProcedure.objects.all(), "exam", code=exam) if exam else None
        payer = of_this_facility(PayerScheme.objects.all(), "scheme", code=scheme) if scheme else None
        return services.set_price(**data, catalogue=row, scheme=payer, actor=self.actor)

    @extend_schema(request=shapes.PriceInputSerializer, responses={201: shapes.PriceSerializer})
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().create(request, *args, **kwargs)

    @extend_schema(request=shapes.LastDaySerializer, responses=shapes.PriceSerializer)
    @action(detail=True, methods=["post"])
    def end(self, request: Request, uuid: str | None = None) -> Response:
        """It holds on that day for the last time."""
        return self.answer(services.end_price(self.get_object(), **self.validated(), actor=self.actor))


class CoverageFilter(filters.FilterSet):
    patient = filters.UUIDFilter(field_name="patient__uuid")
    scheme = filters.CharFilter(field_name="scheme__code")

    class Meta:
        model = Coverage
        fields: list[str] = []


class CoverageViewSet(ListMixin, RetrieveMixin, CreateMixin, FacilityViewSet):
    """Who covers which patient, in which order, for which part of the whole."""

    queryset = Coverage.objects.none()
    serializer_class = shapes.CoverageSerializer
    serializer_classes = {
        "create": shapes.CoverageInputSerializer,
        "end": shapes.EndCoverageSerializer,
        "withdraw": PlainReasonSerializer,
    }
    filterset_class = CoverageFilter
    ordering_fields = ("id",)
    permission_codes = {
        "list": perms.MANAGE_COVERAGE,
        "retrieve": perms.MANAGE_COVERAGE,
        "create": perms.MANAGE_COVERAGE,
        "end": perms.MANAGE_COVERAGE,
        "withdraw": perms.MANAGE_COVERAGE,
    }

    def get_queryset(self) -> QuerySet[Coverage]:
        return money_selectors.coverages(actor=self.actor)

    def service_create(self, data: dict[str, Any]) -> Coverage:
        patient = of_this_facility(selectors.patients(actor=self.actor), "patient", uuid=data.pop("patient"))
        scheme = of_this_facility(money_selectors.schemes(), "scheme", code=data.pop("scheme"))
        return services.add_coverage(patient, scheme=scheme, **data, actor=self.actor)

    @extend_schema(
        request=shapes.CoverageInputSerializer,
        responses={201: shapes.CoverageSerializer},
        examples=[
            OpenApiExample(
                "Insured",
                request_only=True,
                value={
                    "patient": "01981c0e-0000-7000-8000-000000000001",
                    "scheme": "SHA",
                    "member_number": "SHA-0012345",
                    "share": "80.00",
                    "valid_to": "2027-06-30",
                },
            )
        ],
    )
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().create(request, *args, **kwargs)

    @extend_schema(request=shapes.EndCoverageSerializer, responses=shapes.CoverageSerializer)
    @action(detail=True, methods=["post"])
    def end(self, request: Request, uuid: str | None = None) -> Response:
        """It holds on that day for the last time."""
        return self.answer(services.end_coverage(self.get_object(), **self.validated(), actor=self.actor))

    @extend_schema(request=PlainReasonSerializer, responses=shapes.CoverageSerializer)
    @action(detail=True, methods=["post"])
    def withdraw(self, request: Request, uuid: str | None = None) -> Response:
        """It was recorded by mistake."""
        return self.answer(services.withdraw_coverage(self.get_object(), **self.validated(), actor=self.actor))


class AuthorisationFilter(filters.FilterSet):
    procedure = filters.UUIDFilter(field_name="procedure__uuid")
    status = filters.MultipleChoiceFilter(choices=AuthorisationStatus.choices)

    class Meta:
        model = PreAuthorisation
        fields: list[str] = []


class AuthorisationViewSet(ListMixin, RetrieveMixin, CreateMixin, FacilityViewSet):
    """What payers have said before an exam. Nothing here hinders an exam; it is warned of."""

    queryset = PreAuthorisation.objects.none()
    serializer_class = shapes.AuthorisationSerializer
    serializer_classes = {
        "create": shapes.AuthorisationInputSerializer,
        "refuse": PlainReasonSerializer,
        "withdraw": PlainReasonSerializer,
    }
    filterset_class = AuthorisationFilter
    ordering_fields = ("id",)
    permission_codes = {
        "list": perms.MANAGE_COVERAGE,
        "retrieve": perms.MANAGE_COVERAGE,
        "create": perms.MANAGE_COVERAGE,
        "refuse": perms.MANAGE_COVERAGE,
        "withdraw": perms.MANAGE_COVERAGE,
        "warnings": perms.MANAGE_COVERAGE,
    }

    def get_queryset(self) -> QuerySet[PreAuthorisation]:
        return money_selectors.authorisations(actor=self.actor)

    def service_create(self, data: dict[str, Any]) -> PreAuthorisation:
        procedure = of_this_facility(selectors.procedures(actor=self.actor), "procedure", uuid=data.pop("procedure"))
        coverage = of_this_facility(money_selectors.coverages(actor=self.actor), "coverage", uuid=data.pop("coverage"))
        return services.record_authorisation(procedure, coverage=coverage, **data, actor=self.actor)

    @extend_schema(request=shapes.AuthorisationInputSerializer, responses={201: shapes.AuthorisationSerializer})
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().create(request, *args, **kwargs)

    @extend_schema(request=PlainReasonSerializer, responses=shapes.AuthorisationSerializer)
    @action(detail=True, methods=["post"])
    def refuse(self, request: Request, uuid: str | None = None) -> Response:
        """The payer said no."""
        return self.answer(services.refuse_authorisation(self.get_object(), **self.validated(), actor=self.actor))

    @extend_schema(request=PlainReasonSerializer, responses=shapes.AuthorisationSerializer)
    @action(detail=True, methods=["post"])
    def withdraw(self, request: Request, uuid: str | None = None) -> Response:
        """It was recorded by mistake, or is not needed any more."""
        return self.answer(services.withdraw_authorisation(self.get_object(), **self.validated(), actor=self.actor))

    @extend_schema(
        parameters=[OpenApiParameter("procedure", OpenApiTypes.UUID, required=True, description="The exam.")],
        responses=shapes.AuthorisationWarningsSerializer,
    )
    @action(detail=False, methods=["get"], filterset_class=None, pagination_class=None, filter_backends=())
    def warnings(self, request: Request) -> Response:
        """What is to be settled with the payers of an exam: missing, waiting, refused or ending too early."""
        found = []
        if wanted := request.query_params.get("procedure"):
            own = selectors.procedures(actor=self.actor)
            procedure = of_this_facility(own, "procedure", uuid=shapes.serializers.UUIDField().run_validation(wanted))
            self.audit_read(procedure)
            found = money_selectors.authorisation_warnings([procedure])
        return Response({"results": shapes.AuthorisationWarningSerializer(found, many=True).data})


class CodeFilter(filters.FilterSet):
    procedure = filters.UUIDFilter(field_name="procedure__uuid")
    system = filters.ChoiceFilter(choices=CodeSystem.choices)

    class Meta:
        model = BillingCode
        fields: list[str] = []


class CodeViewSet(ListMixin, FacilityViewSet):
    """ICD-10 and CPT codes on exams, for the payer."""

    queryset = BillingCode.objects.none()
    serializer_class = shapes.BillingCodeSerializer
    serializer_classes = {"create": shapes.BillingCodesInputSerializer}
    filterset_class = CodeFilter
    ordering_fields = ("id",)
    permission_codes = {"list": perms.VIEW_CHARGE, "create": perms.CODE_PROCEDURE}

    def get_queryset(self) -> QuerySet[BillingCode]:
        return money_selectors.billing_codes(actor=self.actor)

    @extend_schema(request=shapes.BillingCodesInputSerializer, responses=shapes.BillingCodesSerializer)
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """All codes of one system on an exam; what is left out is withdrawn."""
        data = self.validated()
        procedure = of_this_facility(selectors.procedures(actor=self.actor), "procedure", uuid=data.pop("procedure"))
        services.set_codes(procedure, **data, actor=self.actor)
        rows = self.get_queryset().filter(procedure=procedure, system=data["system"]).order_by("position")
        return Response({"results": shapes.BillingCodeSerializer(rows, many=True).data})


class InvoiceFilter(filters.FilterSet):
    order = filters.UUIDFilter(field_name="order__uuid")
    patient = filters.UUIDFilter(field_name="order__patient__uuid")
    scheme = filters.CharFilter(field_name="scheme__code")
    kind = filters.ChoiceFilter(choices=InvoiceKind.choices)
    status = filters.MultipleChoiceFilter(choices=InvoiceStatus.choices)
    issued_after = filters.IsoDateTimeFilter(field_name="issued_at", lookup_expr="gte")
    issued_before = filters.IsoDateTimeFilter(field_name="issued_at", lookup_expr="lt")
    due_before = filters.DateFilter(field_name="due_on", lookup_expr="lt")

    class Meta:
        model = Invoice
        fields: list[str] = []


class InvoiceViewSet(ListMixin, RetrieveMixin, FacilityViewSet):
    """Invoices and credit notes: numbered without gaps, never changed."""

    queryset = Invoice.objects.none()
    serializer_class = shapes.InvoiceSerializer
    serializer_classes = {
        "create": shapes.IssueInvoicesSerializer,
        "credit": shapes.CreditInvoiceSerializer,
        "refund": shapes.RefundInvoiceSerializer,
    }
    filterset_class = InvoiceFilter
    ordering_fields = ("id", "issued_at")
    permission_codes = {
        "list": perms.VIEW_INVOICE,
        "retrieve": perms.VIEW_INVOICE,
        "paper": perms.VIEW_INVOICE,
        "create": perms.ISSUE_INVOICE,
        "credit": perms.CREDIT_INVOICE,
        "refund": perms.CREDIT_INVOICE,
    }

    def get_queryset(self) -> QuerySet[Invoice]:
        return money_selectors.invoices(actor=self.actor).prefetch_related("lines__charge")

    @extend_schema(request=shapes.IssueInvoicesSerializer, responses={201: shapes.InvoicesSerializer})
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """One invoice per payer for all confirmed charges of an order."""
        data = self.validated()
        order = of_this_facility(selectors.orders(actor=self.actor), "order", uuid=data.pop("order"))
        chosen, own = data.pop("coverages"), money_selectors.coverages(actor=self.actor)
        coverages = None
        if chosen is not None:
            coverages = [of_this_facility(own, "coverages", uuid=value, patient=order.patient) for value in chosen]
        invoices = services.issue_invoices(order, coverages=coverages, **data, actor=self.actor)
        shown = self.get_queryset().filter(pk__in=[row.pk for row in invoices]).order_by("pk")
        return Response({"results": shapes.InvoiceSerializer(shown, many=True).data}, status.HTTP_201_CREATED)

    @extend_schema(request=shapes.CreditInvoiceSerializer, responses={201: shapes.InvoiceSerializer})
    @action(detail=True, methods=["post"])
    def credit(self, request: Request, uuid: str | None = None) -> Response:
        """Take it back; answers the credit note."""
        note = services.credit_invoice(self.get_object(), **self.validated(), actor=self.actor)
        return self.answer(note, status.HTTP_201_CREATED)

    @extend_schema(request=shapes.RefundInvoiceSerializer, responses={201: shapes.PaymentSerializer})
    @action(detail=True, methods=["post"])
    def refund(self, request: Request, uuid: str | None = None) -> Response:
        """Give money back; answers the receipt."""
        payment = services.refund_payment(self.get_object(), **self.validated(), actor=self.actor)
        return Response(shapes.PaymentSerializer(payment).data, status.HTTP_201_CREATED)

    @extend_schema(responses=PDF)
    @action(detail=True, methods=["get"])
    def paper(self, request: Request, uuid: str | None = None) -> HttpResponse:
        """The PDF."""
        invoice = self.get_object()
        self.audit_read(invoice, paper=invoice.number)
        return HttpResponse(render_invoice_pdf(invoice), content_type="application/pdf")


class PaymentFilter(filters.FilterSet):
    invoice = filters.UUIDFilter(field_name="allocations__invoice__uuid")
    kind = filters.ChoiceFilter(choices=PaymentKind.choices)
    method = filters.MultipleChoiceFilter(choices=PaymentMethod.choices)
    received_after = filters.IsoDateTimeFilter(field_name="received_at", lookup_expr="gte")
    received_before = filters.IsoDateTimeFilter(field_name="received_at", lookup_expr="lt")

    class Meta:
        model = Payment
        fields: list[str] = []


class PaymentViewSet(ListMixin, RetrieveMixin, CreateMixin, FacilityViewSet):
    """Money that came or went back, each with its receipt; never changed."""

    queryset = Payment.objects.none()
    serializer_class = shapes.PaymentSerializer
    serializer_classes = {"create": shapes.PaymentInputSerializer}
    filterset_class = PaymentFilter
    ordering_fields = ("id", "received_at")
    permission_codes = {
        "list": perms.VIEW_INVOICE,
        "retrieve": perms.VIEW_INVOICE,
        "receipt": perms.VIEW_INVOICE,
        "create": perms.TAKE_PAYMENT,
    }

    def get_queryset(self) -> QuerySet[Payment]:
        return money_selectors.payments(actor=self.actor)

    def service_create(self, data: dict[str, Any]) -> Payment:
        own = money_selectors.invoices(actor=self.actor)
        parts = [
            (of_this_facility(own, "allocations", uuid=row["invoice"]), row["amount"])
            for row in data.pop("allocations")
        ]
        return services.record_payment(allocations=parts, **data, actor=self.actor)

    @extend_schema(
        request=shapes.PaymentInputSerializer,
        responses={201: shapes.PaymentSerializer},
        examples=[
            OpenApiExample(
                "Mobile money",
                request_only=True,
                value={
                    "allocations": [{"invoice": "01981c0e-0000-7000-8000-000000000001", "amount": "1900.00"}],
                    "method": "mobile",
                    "reference": "QK71X2Y9",
                },
            )
        ],
    )
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().create(request, *args, **kwargs)

    @extend_schema(responses=PDF)
    @action(detail=True, methods=["get"])
    def receipt(self, request: Request, uuid: str | None = None) -> HttpResponse:
        """The PDF."""
        payment = self.get_object()
        self.audit_read(payment, paper=payment.number)
        return HttpResponse(render_receipt_pdf(payment), content_type="application/pdf")


class RevenueView(FacilityAPIView):
    """What was invoiced and received, by month."""

    permission_codes = {"get": perms.VIEW_REVENUE}

    @extend_schema(
        parameters=[
            OpenApiParameter("months", OpenApiTypes.INT, enum=list(figures.MONTHS), default=12),
            OpenApiParameter("group", OpenApiTypes.STR, enum=["modality", "payer"], default="modality"),
            OpenApiParameter("modality", OpenApiTypes.STR),
            OpenApiParameter("payer", OpenApiTypes.STR, description="A scheme's code, or self: the patients."),
        ],
        responses=shapes.RevenueSerializer,
    )
    def get(self, request: Request) -> Response:
        wanted = figures.asked(request.query_params)
        record(self.actor, perms.VIEW_REVENUE, Action.READ, detail=wanted)
        return Response(shapes.RevenueSerializer(figures.revenue(actor=self.actor, **wanted)).data)
