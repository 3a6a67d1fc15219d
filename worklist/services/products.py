"""What lies in the rooms, as its packs name it."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from ris.audit.service import service
from ris.core.actor import Actor
from ris.core.errors import AlreadyExists, InvalidData
from ris.core.gs1 import is_gtin, padded
from worklist import permissions as perms
from worklist.models import Product

FIELDS = ("code", "name", "kind", "gtin", "unit", "usual_quantity", "route", "is_active")


@service(perms.MANAGE_PRODUCTS)
def save_product(product: Product | None, *, actor: Actor, **values: Any) -> Product:
    """A new product, or a changed one. Its GTIN is kept with 14 digits, as scanners read it from any pack."""
    product = Product.locked(product.pk) if product is not None else Product()
    for name in FIELDS:
        if name in values:
            setattr(product, name, values[name])
    digits = "".join(product.gtin.split())
    if digits and not is_gtin(digits):
        words = _("The check digit is wrong, or digits are missing.")
        raise InvalidData(words, errors={"gtin": words})
    product.gtin = padded(digits) if digits else ""
    product.code, product.name = product.code.strip(), product.name.strip()
    others = Product.objects.exclude(pk=product.pk)
    for name in ("code", "gtin"):
        value = getattr(product, name)
        if value and others.filter(**{name: value}).exists():
            words = _("There is a product of that number.")
            raise AlreadyExists(words, asked=value, todo=_("Change that one."), errors={name: words})
    try:
        product.clean_fields(exclude=["uuid"])
    except ValidationError as wrong:
        raise InvalidData(_("The product is not kept."), errors=wrong.message_dict) from None
    product.save_as(actor, "Kept")
    return product
