from ris.accounts.bootstrap import ensure_roles
from ris.tenants.models import Facility
from ris.tenants.provisioning import provisions


@provisions("accounts.roles")
def provision_roles(facility: Facility) -> None:
    ensure_roles()
