from django.urls import path

from orders.web import billing, bills, revenue

urlpatterns = [
    path("billing/", billing.billing, name="billing"),
    path("billing/remittance/", billing.remittance, name="remittance"),
    path("billing/revenue/", revenue.revenue, name="revenue"),
    path("billing/revenue.<slug:kind>", revenue.revenue_export, name="revenue_export"),
    path("billing/orders/<uuid:uuid>/", bills.bill, name="bill"),
    path("billing/orders/<uuid:uuid>/confirm/", bills.charges_confirm, name="charges_confirm"),
    path("billing/orders/<uuid:uuid>/reprice/", bills.charges_reprice, name="charges_reprice"),
    path("billing/orders/<uuid:uuid>/issue/", bills.bill_issue, name="bill_issue"),
    path("billing/exams/<uuid:uuid>/charges/", bills.charge_add, name="charge_add"),
    path("billing/exams/<uuid:uuid>/draft/", bills.charges_draft, name="charges_draft"),
    path("billing/exams/<uuid:uuid>/codes/", bills.codes_set, name="codes_set"),
    path("billing/exams/<uuid:uuid>/authorise/", bills.authorise, name="authorise"),
    path("billing/charges/<uuid:uuid>/void/", bills.charge_void, name="charge_void"),
    path("billing/authorisations/<uuid:uuid>/<slug:verb>/", bills.authorisation_close, name="authorisation_close"),
    path("billing/coverages/<uuid:uuid>/<slug:verb>/", bills.coverage_close, name="coverage_close"),
    path("billing/invoices/<uuid:uuid>/", billing.invoice_detail, name="invoice_detail"),
    path("billing/invoices/<uuid:uuid>/paper.pdf", billing.invoice_paper, name="invoice_paper"),
    path("billing/invoices/<uuid:uuid>/pay/", billing.invoice_pay, name="invoice_pay"),
    path("billing/invoices/<uuid:uuid>/credit/", billing.invoice_credit, name="invoice_credit"),
    path("billing/invoices/<uuid:uuid>/refund/", billing.invoice_refund, name="invoice_refund"),
    path("billing/payments/<uuid:uuid>/receipt.pdf", billing.receipt_paper, name="receipt_paper"),
    path("patients/<uuid:uuid>/coverage/", bills.coverage, name="coverage"),
]
