"""Password sign-in: by name in any case, for people only."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.backends import ModelBackend

from ris.accounts.models import User


class PasswordBackend(ModelBackend):
    """Django's, with the hash computed for unknown names too; a program holds keys, not passwords."""

    def user_can_authenticate(self, user: Any) -> bool:
        return user.is_active and not user.is_service

    def get_user(self, user_id: int) -> User | None:
        """The session's person with their roles: every page asks for them."""
        user = User.objects.prefetch_related("roles").filter(pk=user_id).first()
        return user if user is not None and self.user_can_authenticate(user) else None
