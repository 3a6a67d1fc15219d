"""The rights over people, roles, keys and the facility's settings."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from ris.core.permissions import CLINICAL, DEPARTMENT, IT_ADMIN, QA_LEAD, REFERRER, declare

VIEW_USER = declare("accounts.view_user", _("See users and roles"), IT_ADMIN, clinical=False)
CREATE_USER = declare("accounts.create_user", _("Create users"), IT_ADMIN, clinical=False)
CHANGE_USER = declare("accounts.change_user", _("Change users"), IT_ADMIN, clinical=False)
SET_ROLES = declare("accounts.set_roles", _("Give and take roles"), IT_ADMIN, clinical=False)
DEACTIVATE_USER = declare("accounts.deactivate_user", _("Deactivate and reactivate users"), IT_ADMIN, clinical=False)
SET_PASSWORD = declare("accounts.set_password", _("Set another user's password"), IT_ADMIN, clinical=False)
LIFT_LOCKOUT = declare("accounts.lift_lockout", _("End the rest after wrong passwords"), IT_ADMIN, clinical=False)
RESET_TOTP = declare("accounts.reset_totp", _("Remove another user's second factor"), IT_ADMIN, clinical=False)
CHANGE_ROLE = declare("accounts.change_role", _("Compose roles"), IT_ADMIN, clinical=False)
VIEW_API_KEY = declare("accounts.view_api_key", _("See API keys and tokens"), IT_ADMIN, clinical=False)
CREATE_API_KEY = declare("accounts.create_api_key", _("Create API keys"), IT_ADMIN, clinical=False)
REVOKE_API_KEY = declare("accounts.revoke_api_key", _("Revoke API keys and tokens"), IT_ADMIN, clinical=False)
VIEW_SETTINGS = declare("accounts.view_settings", _("See the facility's settings"), IT_ADMIN, QA_LEAD, clinical=False)
CHANGE_SETTINGS = declare("accounts.change_settings", _("Change the facility's settings"), IT_ADMIN, clinical=False)
VIEW_SITE = declare("accounts.view_site", _("See sites"), *DEPARTMENT, IT_ADMIN, REFERRER, clinical=False)
CHANGE_SITE = declare("accounts.change_site", _("Create and change sites"), IT_ADMIN, clinical=False)
VIEW_PRACTITIONER = declare(
    "accounts.view_practitioner", _("See practitioners"), *DEPARTMENT, IT_ADMIN, REFERRER, clinical=False
)
CHANGE_PRACTITIONER = declare(
    "accounts.change_practitioner", _("Create and change practitioners"), *CLINICAL, IT_ADMIN, clinical=False
)
BREAK_GLASS = declare(
    "accounts.break_glass", _("Take access in an emergency"), *DEPARTMENT, IT_ADMIN, REFERRER, clinical=False
)
VIEW_BREAK_GLASS = declare(
    "accounts.view_break_glass", _("See who took access in an emergency"), IT_ADMIN, QA_LEAD, clinical=False
)
