"""The permission matrix as a page of documentation."""

from __future__ import annotations

from itertools import groupby

from ris.accounts.bootstrap import LABELS
from ris.core.permissions import ROLES, Permission, permissions

INTRODUCTION = """# Who may do what

Made from the code by `manage.py write_permissions_doc`; a test compares. A code names the service, its audit row and
the right alike. An administrator composes other roles from the same codes. A role of ours cannot be changed.

Rights marked *clinical* are never an IT administrator's, whatever other role they hold: they see clinical content by
break-glass only, and sign or edit none of it. Which rows a right reaches (site, requester, assignment, restricted
patients) is decided beside it, by `visible_to(actor)`.
"""


def permissions_document() -> str:
    """Markdown: one table per app."""
    parts = [INTRODUCTION]
    for app, group in groupby(permissions().values(), key=lambda permission: permission.code.split(".")[0]):
        parts.append(f"\n## {app}\n")
        heads = " | ".join(LABELS[role] for role in ROLES)
        parts.append(f"| Code | Means | Clinical | {heads} |")
        parts.append("|---" * (3 + len(ROLES)) + "|")
        parts.extend(_row(permission) for permission in group)
    return "\n".join(parts) + "\n"


def _row(permission: Permission) -> str:
    marks = " | ".join("yes" if role in permission.roles else "" for role in ROLES)
    clinical = "yes" if permission.clinical else ""
    return f"| `{permission.code}` | {permission.label} | {clinical} | {marks} |"
