from django.contrib.admin.apps import AdminConfig


class FacilityAdminConfig(AdminConfig):
    """Django's admin with our door, our rights and our audit."""

    default_site = "ris.accounts.admin_site.FacilityAdminSite"
