"""The rights of radiation dose."""

from django.utils.translation import gettext_noop as _

from ris.core.permissions import PHYSICIST, QA_LEAD, RADIOLOGIST, TECHNOLOGIST, declare

VIEW_DOSE = declare("dose.view_dose", _("See doses"), PHYSICIST, QA_LEAD, RADIOLOGIST, TECHNOLOGIST)
MANAGE_DOSE = declare("dose.manage_dose", _("Link dose reports"), PHYSICIST)
MANAGE_LEVELS = declare("dose.manage_levels", _("Manage reference and trigger levels"), PHYSICIST)
EXPLAIN_TRIGGER = declare("dose.explain_trigger", _("Say why a dose was above its trigger"), TECHNOLOGIST, PHYSICIST)
MANAGE_NAMES = declare("dose.manage_names", _("Name exams by rules, tell patients from phantoms"), PHYSICIST)
ENTER_DOSE = declare("dose.enter_dose", _("Enter a dose that no device sends"), TECHNOLOGIST, PHYSICIST)
VIEW_CUMULATIVE = declare("dose.view_cumulative_dose", _("See what a patient received in all"), PHYSICIST, RADIOLOGIST)
FOLLOW_SKIN = declare("dose.follow_skin_dose", _("Follow up on skin dose"), PHYSICIST, RADIOLOGIST)
MANAGE_ALERTS = declare("dose.manage_alerts", _("Say who is told of doses"), PHYSICIST)
