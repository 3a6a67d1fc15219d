from django.urls import path
from rest_framework.routers import BaseRouter

from orders.api.billing import (
    AuthorisationViewSet,
    CodeViewSet,
    CoverageViewSet,
    InvoiceViewSet,
    PaymentViewSet,
    PriceViewSet,
    RevenueView,
    SchemeViewSet,
)
from orders.api.catalogue import CatalogueViewSet, ChargeViewSet, PractitionerViewSet
from orders.api.downtime import DowntimeFormViewSet, DowntimePackViewSet, DowntimePeriodViewSet
from orders.api.identity import IssuerViewSet, LinkViewSet
from orders.api.orders import OrderViewSet, ProcedureViewSet
from orders.api.patients import DocumentViewSet, MergeViewSet, PatientViewSet

urlpatterns = [path("revenue/", RevenueView.as_view(), name="api-revenue")]


def register(router: BaseRouter) -> None:
    router.register("patients", PatientViewSet, basename="patient")
    router.register("patient-merges", MergeViewSet, basename="patient-merge")
    router.register("patient-links", LinkViewSet, basename="patient-link")
    router.register("identifier-issuers", IssuerViewSet, basename="identifier-issuer")
    router.register("documents", DocumentViewSet, basename="document")
    router.register("orders", OrderViewSet, basename="order")
    router.register("procedures", ProcedureViewSet, basename="procedure")
    router.register("catalogue", CatalogueViewSet, basename="catalogue")
    router.register("charges", ChargeViewSet, basename="charge")
    router.register("payer-schemes", SchemeViewSet, basename="payer-scheme")
    router.register("prices", PriceViewSet, basename="price")
    router.register("coverages", CoverageViewSet, basename="coverage")
    router.register("pre-authorisations", AuthorisationViewSet, basename="pre-authorisation")
    router.register("billing-codes", CodeViewSet, basename="billing-code")
    router.register("invoices", InvoiceViewSet, basename="invoice")
    router.register("payments", PaymentViewSet, basename="payment")
    router.register("practitioners", PractitionerViewSet, basename="practitioner")
    router.register("downtime-packs", DowntimePackViewSet, basename="downtime-pack")
    router.register("downtime-forms", DowntimeFormViewSet, basename="downtime-form")
    router.register("downtime-periods", DowntimePeriodViewSet, basename="downtime-period")
