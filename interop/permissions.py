"""The rights of the interfaces."""

from django.utils.translation import gettext_noop as _

from ris.core.permissions import IT_ADMIN, QA_LEAD, RADIOLOGIST, RESIDENT, TECHNOLOGIST, declare

VIEW_INTERFACES = declare("interop.view_interfaces", _("See peers, destinations and queues"), IT_ADMIN, clinical=False)
MANAGE_INTERFACES = declare("interop.manage_interfaces", _("Manage peers and destinations"), IT_ADMIN, clinical=False)
VIEW_MESSAGE = declare("interop.view_message", _("Open messages (patient data)"), QA_LEAD)
REPLAY_MESSAGE = declare("interop.replay_message", _("Send and process messages again"), IT_ADMIN, clinical=False)
EDIT_MESSAGE = declare("interop.edit_message", _("Edit messages that go out (patient data)"), QA_LEAD)
MAP_CODES = declare("interop.map_codes", _("Say what codes of senders mean"), IT_ADMIN, QA_LEAD, clinical=False)
QUERY_ARCHIVE = declare(
    "interop.query_archive", _("Look for earlier studies in other archives, and fetch them"),
    RADIOLOGIST, RESIDENT, TECHNOLOGIST,
)  # fmt: skip
MANAGE_CLIENTS = declare(
    "interop.manage_clients", _("Register programs that come by SMART on FHIR"), IT_ADMIN, clinical=False
)
SUBSCRIBE = declare("interop.subscribe", _("Ask to be told of reports, studies and orders"), IT_ADMIN, clinical=False)
