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
RESTRICT_PATIENT = declare("orders.restrict_patient", _("Restrict patients and grant access"), QA_LEAD)

VIEW_ORDER = declare("orders.view_order", _("See orders"), *DEPARTMENT, REFERRER)
CREATE_ORDER = declare("orders.create_order", _("Order exams"), CLERK, TECHNOLOGIST, RADIOLOGIST, REFERRER)
CHANGE_ORDER = declare("orders.change_order", _("Change orders"), CLERK, RADIOLOGIST)
CANCEL_ORDER = declare("orders.cancel_order", _("Cancel orders"), CLERK, RADIOLOGIST, REFERRER)
VET_PROCEDURE = declare("orders.vet_procedure", _("Vet and protocol requests"), *READERS)
HOLD_PROCEDURE = declare("orders.hold_procedure", _("Hold requests and ask for information"), CLERK, *READERS)

VIEW_CATALOGUE = declare("orders.view_catalogue", _("See the catalogue"), *DEPARTMENT, REFERRER)
MANAGE_CATALOGUE = declare("orders.manage_catalogue", _("Manage the catalogue"), IT_ADMIN, clinical=False)

VIEW_DOCUMENT = declare("orders.view_document", _("See documents"), *DEPARTMENT, REFERRER)
ADD_DOCUMENT = declare("orders.add_document", _("Add documents"), *CLINICAL, REFERRER)

VIEW_CHARGE = declare("orders.view_charge", _("See charges"), CLERK, TECHNOLOGIST, PHYSICIST, QA_LEAD)
MANAGE_CHARGE = declare("orders.manage_charge", _("Confirm, void and bill charges"), CLERK, TECHNOLOGIST)
MANAGE_PRICES = declare("orders.manage_prices", _("Manage prices"), IT_ADMIN, clinical=False)
