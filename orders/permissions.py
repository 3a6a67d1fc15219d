"""The rights of patients, orders, catalogue, documents and charges."""

from django.utils.translation import gettext_noop as _

from ris.core.permissions import (
    CLERK,
    CLINICAL,
    DEPARTMENT,
    IT_ADMIN,
    PHYSICIST,
    QA_LEAD,
    RADIOLOGIST,
    READERS,
    REFERRER,
    TECHNOLOGIST,
    declare,
)

VIEW_PATIENT = declare("orders.view_patient", _("See patients"), *DEPARTMENT, REFERRER)
REGISTER_PATIENT = declare("orders.register_patient", _("Register patients"), CLERK, TECHNOLOGIST)
UPDATE_PATIENT = declare("orders.update_patient", _("Correct patients"), CLERK, TECHNOLOGIST)
MERGE_PATIENTS = declare("orders.merge_patients", _("Merge and unmerge patients"), CLERK)
MANAGE_ISSUERS = declare("orders.manage_issuers", _("Manage issuers of identifiers"), IT_ADMIN, clinical=False)
RESTRICT_PATIENT = declare("orders.restrict_patient", _("Restrict patients and grant access"), QA_LEAD)

VIEW_ORDER = declare("orders.view_order", _("See orders"), *DEPARTMENT, REFERRER)
CREATE_ORDER = declare("orders.create_order", _("Order exams"), CLERK, TECHNOLOGIST, RADIOLOGIST, REFERRER)
CHANGE_ORDER = declare("orders.change_order", _("Change orders"), CLERK, RADIOLOGIST)
CANCEL_ORDER = declare("orders.cancel_order", _("Cancel orders"), CLERK, RADIOLOGIST, REFERRER)
VET_PROCEDURE = declare("orders.vet_procedure", _("Vet and protocol requests"), *READERS)
HOLD_PROCEDURE = declare("orders.hold_procedure", _("Hold requests and ask for information"), CLERK, *READERS)
ANSWER_INQUIRY = declare(
    "orders.answer_inquiry", _("Answer questions about requests"), CLERK, TECHNOLOGIST, *READERS, REFERRER
)

VIEW_CATALOGUE = declare("orders.view_catalogue", _("See the catalogue"), *DEPARTMENT, REFERRER)
MANAGE_CATALOGUE = declare("orders.manage_catalogue", _("Manage the catalogue"), IT_ADMIN, clinical=False)

VIEW_DOCUMENT = declare("orders.view_document", _("See documents"), *DEPARTMENT, REFERRER)
ADD_DOCUMENT = declare("orders.add_document", _("Add documents"), *CLINICAL, REFERRER)

VIEW_CHARGE = declare("orders.view_charge", _("See charges"), CLERK, TECHNOLOGIST, PHYSICIST, QA_LEAD)
MANAGE_CHARGE = declare("orders.manage_charge", _("Confirm, void and bill charges"), CLERK, TECHNOLOGIST)
MANAGE_PRICES = declare("orders.manage_prices", _("Manage prices"), IT_ADMIN, clinical=False)

MANAGE_COVERAGE = declare("orders.manage_coverage", _("Record coverage and authorisations"), CLERK)
CODE_PROCEDURE = declare(
    "orders.code_procedure", _("Code diagnoses and services for the payer"), CLERK, TECHNOLOGIST, *READERS
)
VIEW_INVOICE = declare("orders.view_invoice", _("See invoices and payments"), CLERK, QA_LEAD)
ISSUE_INVOICE = declare("orders.issue_invoice", _("Issue invoices"), CLERK)
TAKE_PAYMENT = declare("orders.take_payment", _("Take payments"), CLERK)
CREDIT_INVOICE = declare("orders.credit_invoice", _("Credit invoices and give money back"), CLERK, QA_LEAD)
VIEW_REVENUE = declare("orders.view_revenue", _("See the revenue"), QA_LEAD, IT_ADMIN, clinical=False)

VIEW_DOWNTIME = declare(
    "orders.view_downtime", _("See downtime forms and lists"), *DEPARTMENT, IT_ADMIN, clinical=False
)
PRINT_DOWNTIME = declare("orders.print_downtime", _("Print downtime packs"), CLERK, TECHNOLOGIST, QA_LEAD)
ENTER_DOWNTIME = declare("orders.enter_downtime", _("Enter and void downtime forms"), CLERK, TECHNOLOGIST)
DECLARE_DOWNTIME = declare(
    "orders.declare_downtime", _("Declare, end and close a downtime"), QA_LEAD, IT_ADMIN, clinical=False
)
