"""The rights of radiation dose."""

from django.utils.translation import gettext_noop as _

from ris.core.permissions import PHYSICIST, QA_LEAD, RADIOLOGIST, TECHNOLOGIST, declare

VIEW_DOSE = declare("dose.view_dose", _("See doses"), PHYSICIST, QA_LEAD, RADIOLOGIST, TECHNOLOGIST)
MANAGE_DOSE = declare("dose.manage_dose", _("Link dose reports"), PHYSICIST)
MANAGE_LEVELS = declare("dose.manage_levels", _("Manage reference and trigger levels"), PHYSICIST)
EXPLAIN_TRIGGER = declare("dose.explain_trigger", _("Say why a dose was above its trigger"), TECHNOLOGIST, PHYSICIST)
