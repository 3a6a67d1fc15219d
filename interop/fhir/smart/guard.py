"""SMART scopes at the server's door: which letter an interaction needs, and whether the credential has it."""

from __future__ import annotations

from django.utils.translation import gettext as _

from interop.fhir.server.call import Call, Resource
from interop.fhir.server.errors import Refused
from interop.fhir.smart.scopes import limits

READING = ("GET", "HEAD")
WRITES = {
    "create": "c",
    "conditional-create": "c",
    "update": "u",
    "conditional-update": "u",
    "patch": "u",
    "delete": "d",
}


def reaches(call: Call, resource: str) -> bool:
    """Whether the caller's scopes let them see this type in this call; without scopes of SMART, always."""
    found = limits(call.actor.scopes)
    if found is None:
        return True
    wanted = set(_letters(call, resource))
    return any(scope.resource in ("*", resource) and wanted & set(scope.letters) for scope in found)


def _letters(call: Call, resource: str) -> str:
    """``r`` for one, ``s`` for a search; either for what is included. Who writes sees what they have written; an
    operation on one (``$everything``) only reads, however it is asked."""
    if call.path[:1] != (resource,):
        return "rs"
    if len(call.path) == 3 and call.path[2].startswith("$") and call.path[2] != "$validate":
        return "r"
    is_search = len(call.path) == 1 or call.path[1] in ("_search", "_history")
    if call.method in READING or call.path[1:2] == ("_search",):
        return "s" if is_search else "r"
    return "cruds"


def told(security: Resource, call: Call) -> None:
    """In the CapabilityStatement: that SMART is spoken, and where its addresses are (its oauth-uris extension)."""
    here = call.base.rpartition("/")[0]
    addresses = (("token", "token"), ("introspect", "introspect"), ("revoke", "revoke"))
    security["extension"] = [
        {
            "url": "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris",
            "extension": [{"url": name, "valueUri": f"{here}/auth/{path}"} for name, path in addresses],
        }
    ]
    system = "http://terminology.hl7.org/CodeSystem/restful-security-service"
    security["service"] = [{"coding": [{"system": system, "code": "SMART-on-FHIR", "display": "SMART-on-FHIR"}]}]


def require_write(call: Call, resource: str, interaction: str) -> None:
    """Raises Refused (403) when the caller's scopes do not let them do this."""
    found = limits(call.actor.scopes)
    letter = WRITES[interaction]
    if found is None or any(scope.resource in ("*", resource) and letter in scope.letters for scope in found):
        return
    asked = {"what": interaction.rpartition("-")[2], "name": resource}
    words = _("The scopes of the token do not allow “%(what)s” of %(name)s.") % asked
    raise Refused(403, words, headers={"WWW-Authenticate": 'Bearer error="insufficient_scope"'})
