"""What REST resources of money look like. Amounts are strings with two decimals; ``id`` is always the UUID."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from orders.api.serializers import uuid_of
from orders.models import (
    BillingCode,
    ChargeKind,
    CodeSystem,
    Coverage,
    Invoice,
    InvoiceLine,
    PayerKind,
    PayerScheme,
    Payment,
    PaymentAllocation,
    PaymentMethod,
    PreAuthorisation,
    PriceItem,
)


def amount(**kwargs: Any) -> serializers.DecimalField:
    return serializers.DecimalField(max_digits=12, decimal_places=2, **kwargs)


class SchemeSerializer(serializers.ModelSerializer):
    id = uuid_of("uuid")

    class Meta:
        model = PayerScheme
        fields = (
            "id",
            "code",
            "name",
            "kind",
            "default_share",
            "needs_preauthorisation",
            "terms_days",
            "address",
            "is_active",
            "version",
        )
        read_only_fields = fields


class SchemeInputSerializer(serializers.Serializer):
    code = serializers.CharField(max_length=16)
    name = serializers.CharField(max_length=100)
    kind = serializers.ChoiceField(choices=PayerKind.choices)
    default_share = serializers.DecimalField(max_digits=5, decimal_places=2, required=False)
    needs_preauthorisation = serializers.BooleanField(required=False)
    terms_days = serializers.IntegerField(min_value=0, max_value=365, required=False)
    address = serializers.CharField(required=False, allow_blank=True)
    is_active = serializers.BooleanField(required=False)


class PriceSerializer(serializers.ModelSerializer):
    id = uuid_of("uuid")
    scheme = serializers.CharField(
        source="scheme.code", default="", read_only=True, help_text="Empty: the general price."
    )
    exam = serializers.CharField(source="catalogue.code", default="", read_only=True)

    class Meta:
        model = PriceItem
        fields = (
            "id",
            "code",
            "label",
            "kind",
            "exam",
            "consumable_code",
            "unit",
            "scheme",
            "amount",
            "currency",
            "valid_from",
            "valid_to",
            "is_active",
            "version",
        )
        read_only_fields = fields


class PriceInputSerializer(serializers.Serializer):
    code = serializers.CharField(max_length=16)
    label = serializers.CharField(max_length=100)
    amount = amount()
    kind = serializers.ChoiceField(choices=ChargeKind.choices, default=ChargeKind.EXAM)
    exam = serializers.CharField(max_length=16, required=False, allow_blank=True, default="", help_text="Its code.")
    scheme = serializers.CharField(max_length=16, required=False, allow_blank=True, default="", help_text="Its code.")
    consumable_code = serializers.CharField(max_length=32, required=False, allow_blank=True, default="")
    unit = serializers.CharField(max_length=16, required=False, allow_blank=True, default="")
    valid_from = serializers.DateField(required=False, allow_null=True, default=None)
    valid_to = serializers.DateField(required=False, allow_null=True, default=None)


class LastDaySerializer(serializers.Serializer):
    on = serializers.DateField(required=False, allow_null=True, default=None, help_text="The last day; default today.")


class EndCoverageSerializer(LastDaySerializer):
    reason = serializers.CharField(max_length=150)


class CoverageSerializer(serializers.ModelSerializer):
    id = uuid_of("uuid")
    patient = uuid_of("patient.uuid")
    scheme = serializers.CharField(source="scheme.code", read_only=True)

    class Meta:
        model = Coverage
        fields = (
            "id",
            "patient",
            "scheme",
            "member_number",
            "holder_name",
            "share",
            "rank",
            "valid_from",
            "valid_to",
            "withdrawn_at",
            "version",
        )
        read_only_fields = fields


class CoverageInputSerializer(serializers.Serializer):
    patient = serializers.UUIDField()
    scheme = serializers.CharField(max_length=16, help_text="Its code.")
    member_number = serializers.CharField(max_length=64, required=False, allow_blank=True, default="")
    holder_name = serializers.CharField(max_length=100, required=False, allow_blank=True, default="")
    share = serializers.DecimalField(
        max_digits=5, decimal_places=2, required=False, allow_null=True, default=None, help_text="Percent."
    )
    rank = serializers.IntegerField(min_value=1, max_value=99, required=False, allow_null=True, default=None)
    valid_from = serializers.DateField(required=False, allow_null=True, default=None)
    valid_to = serializers.DateField(required=False, allow_null=True, default=None)


class AuthorisationSerializer(serializers.ModelSerializer):
    id = uuid_of("uuid")
    procedure = uuid_of("procedure.uuid")
    accession_number = serializers.CharField(source="procedure.accession_number", read_only=True)
    coverage = uuid_of("coverage.uuid")
    scheme = serializers.CharField(source="coverage.scheme.code", read_only=True)

    class Meta:
        model = PreAuthorisation
        fields = (
            "id",
            "procedure",
            "accession_number",
            "coverage",
            "scheme",
            "number",
            "amount",
            "expires_on",
            "status",
            "reason",
            "version",
        )
        read_only_fields = fields


class AuthorisationInputSerializer(serializers.Serializer):
    procedure = serializers.UUIDField()
    coverage = serializers.UUIDField()
    number = serializers.CharField(
        max_length=40, required=False, allow_blank=True, default="", help_text="Empty: it has been asked for."
    )
    amount = amount(required=False, allow_null=True, default=None)
    expires_on = serializers.DateField(required=False, allow_null=True, default=None)


class AuthorisationWarningSerializer(serializers.Serializer):
    procedure = uuid_of("procedure.uuid")
    coverage = uuid_of("coverage.uuid")
    scheme = serializers.CharField(source="coverage.scheme.code")
    problem = serializers.ChoiceField(choices=["missing", "expired", "requested", "refused"])
    is_emergency = serializers.BooleanField()


class AuthorisationWarningsSerializer(serializers.Serializer):
    results = AuthorisationWarningSerializer(many=True)


class BillingCodeSerializer(serializers.ModelSerializer):
    id = uuid_of("uuid")
    procedure = uuid_of("procedure.uuid")

    class Meta:
        model = BillingCode
        fields = ("id", "procedure", "system", "code", "text", "position")
        read_only_fields = fields


class BillingCodeEntrySerializer(serializers.Serializer):
    code = serializers.CharField(max_length=16)
    text = serializers.CharField(max_length=200, required=False, allow_blank=True, default="")


class BillingCodesInputSerializer(serializers.Serializer):
    procedure = serializers.UUIDField()
    system = serializers.ChoiceField(choices=CodeSystem.choices)
    codes = BillingCodeEntrySerializer(many=True, help_text="All of them, the main one first; others are withdrawn.")


class BillingCodesSerializer(serializers.Serializer):
    results = BillingCodeSerializer(many=True)


class ChargeInputSerializer(serializers.Serializer):
    procedure = serializers.UUIDField()
    code = serializers.CharField(max_length=16, help_text="Of a price list.")
    quantity = serializers.DecimalField(max_digits=9, decimal_places=2, required=False, default=1)
    reason = serializers.CharField(max_length=150, required=False, allow_blank=True, default="")


class InvoiceLineSerializer(serializers.ModelSerializer):
    charge = uuid_of("charge.uuid")
    code = serializers.CharField(source="charge.code", read_only=True)
    label = serializers.CharField(source="charge.label", read_only=True)

    class Meta:
        model = InvoiceLine
        fields = ("position", "charge", "code", "label", "amount")
        read_only_fields = fields


class InvoiceSerializer(serializers.ModelSerializer):
    id = uuid_of("uuid")
    order = uuid_of("order.uuid")
    patient = uuid_of("order.patient.uuid")
    scheme = serializers.CharField(source="scheme.code", default="", read_only=True, help_text="Empty: the patient.")
    corrects = uuid_of("corrects.uuid", allow_null=True, default=None)
    due = amount(read_only=True, help_text="Below zero: to be given back.")
    lines = InvoiceLineSerializer(many=True, read_only=True)

    class Meta:
        model = Invoice
        fields = (
            "id",
            "number",
            "kind",
            "order",
            "patient",
            "scheme",
            "currency",
            "total",
            "paid",
            "credited",
            "due",
            "status",
            "corrects",
            "reason",
            "language",
            "issued_at",
            "due_on",
            "lines",
            "content_hash",
            "version",
        )
        read_only_fields = fields


class IssueInvoicesSerializer(serializers.Serializer):
    order = serializers.UUIDField()
    coverages = serializers.ListField(
        child=serializers.UUIDField(),
        required=False,
        allow_null=True,
        default=None,
        help_text="Who is asked; left out: everybody who covers the patient; empty: the patient pays all.",
    )
    language = serializers.CharField(
        max_length=8, required=False, allow_blank=True, default="", help_text="en or sw; else the patient's."
    )


class InvoicesSerializer(serializers.Serializer):
    results = InvoiceSerializer(many=True)


class CreditInvoiceSerializer(serializers.Serializer):
    reason = serializers.CharField(max_length=200)
    is_rebilled = serializers.BooleanField(default=False, help_text="Its charges are open again.")


class RefundInvoiceSerializer(serializers.Serializer):
    amount = amount()
    method = serializers.ChoiceField(choices=PaymentMethod.choices)
    reason = serializers.CharField(max_length=200)
    reference = serializers.CharField(max_length=64, required=False, allow_blank=True, default="")


class PaymentAllocationSerializer(serializers.ModelSerializer):
    invoice = uuid_of("invoice.uuid")
    number = serializers.CharField(source="invoice.number", read_only=True)

    class Meta:
        model = PaymentAllocation
        fields = ("invoice", "number", "amount")
        read_only_fields = fields


class PaymentSerializer(serializers.ModelSerializer):
    id = uuid_of("uuid")
    allocations = PaymentAllocationSerializer(many=True, read_only=True)
    received_by = serializers.SerializerMethodField(help_text="The user name.")

    class Meta:
        model = Payment
        fields = (
            "id",
            "number",
            "kind",
            "method",
            "amount",
            "currency",
            "tendered",
            "reference",
            "reason",
            "received_at",
            "received_by",
            "allocations",
            "content_hash",
        )
        read_only_fields = fields

    @extend_schema_field(serializers.CharField())
    def get_received_by(self, row: Payment) -> str:
        return row.received_by.get_username() if row.received_by else ""


class PaymentAllocationInputSerializer(serializers.Serializer):
    invoice = serializers.UUIDField()
    amount = amount()


class PaymentInputSerializer(serializers.Serializer):
    allocations = serializers.ListSerializer(
        child=PaymentAllocationInputSerializer(), allow_empty=False, max_length=200
    )
    method = serializers.ChoiceField(choices=PaymentMethod.choices)
    reference = serializers.CharField(max_length=64, required=False, allow_blank=True, default="")
    tendered = amount(required=False, allow_null=True, default=None)
    reason = serializers.CharField(max_length=200, required=False, allow_blank=True, default="")


class RevenueSeriesSerializer(serializers.Serializer):
    name = serializers.CharField()
    amounts = serializers.ListField(child=amount(), source="by_month", help_text="One per month.")
    total = amount()


class RevenueSerializer(serializers.Serializer):
    currency = serializers.CharField()
    group = serializers.ChoiceField(choices=["modality", "payer"])
    months = serializers.ListField(child=serializers.DateField(), help_text="First days, oldest first.")
    series = RevenueSeriesSerializer(many=True)
    totals = serializers.ListField(child=amount())
    credited = serializers.ListField(child=amount())
    received = serializers.ListField(child=amount())
    waived = serializers.ListField(child=amount())
