from __future__ import annotations

from typing import Any

from rest_framework import serializers

from ris.accounts.models import ApiKey, Role, Site, User


class TokenRequestSerializer(serializers.Serializer):
    username = serializers.CharField(max_length=150)
    password = serializers.CharField(max_length=1000, trim_whitespace=False, style={"input_type": "password"})
    otp = serializers.CharField(max_length=16, required=False, allow_blank=True, default="")


class TokenSerializer(serializers.Serializer):
    access_token = serializers.CharField()
    token_type = serializers.CharField()
    expires_in = serializers.IntegerField(help_text="Seconds.")


class MeSerializer(serializers.ModelSerializer):
    roles = serializers.SlugRelatedField(slug_field="name", many=True, read_only=True)
    permissions = serializers.SerializerMethodField()

    class Meta:
        model = User
        fields = (
            "uuid",
            "username",
            "given_name",
            "family_name",
            "prefix",
            "email",
            "language",
            "roles",
            "permissions",
        )
        read_only_fields = fields

    def get_permissions(self, user: User) -> list[str]:
        return sorted(user.permission_codes)


class UserSerializer(serializers.ModelSerializer):
    roles = serializers.SlugRelatedField(slug_field="name", many=True, read_only=True)
    sites = serializers.SlugRelatedField(slug_field="code", many=True, read_only=True)

    class Meta:
        model = User
        fields = (
            "uuid",
            "username",
            "email",
            "given_name",
            "family_name",
            "prefix",
            "language",
            "roles",
            "sites",
            "is_active",
            "is_service",
            "date_joined",
            "last_login",
            "version",
        )
        read_only_fields = fields


class UserChangeSerializer(serializers.ModelSerializer):
    sites = serializers.ListField(child=serializers.CharField(max_length=16), required=False)

    class Meta:
        model = User
        fields = ("email", "given_name", "family_name", "prefix", "language", "sites")


class UserCreateSerializer(UserChangeSerializer):
    password = serializers.CharField(
        max_length=1000, required=False, write_only=True, trim_whitespace=False, style={"input_type": "password"}
    )
    roles = serializers.ListField(child=serializers.CharField(max_length=50), required=False)
    username = serializers.CharField(max_length=150)

    class Meta:
        model = User
        fields = ("username", "password", "roles", "is_service", *UserChangeSerializer.Meta.fields)


class RoleNamesSerializer(serializers.Serializer):
    roles = serializers.ListField(child=serializers.CharField(max_length=50))


class PasswordSerializer(serializers.Serializer):
    password = serializers.CharField(max_length=1000, trim_whitespace=False, style={"input_type": "password"})


class RoleSerializer(serializers.ModelSerializer):
    permissions = serializers.SerializerMethodField()

    class Meta:
        model = Role
        fields = ("uuid", "name", "label", "is_builtin", "permissions")
        read_only_fields = fields

    def get_permissions(self, role: Role) -> list[str]:
        return sorted(role.codes)


class SiteSerializer(serializers.ModelSerializer):
    class Meta:
        model = Site
        fields = ("uuid", "code", "name", "address", "phone", "is_active")
        read_only_fields = fields


class ApiKeySerializer(serializers.ModelSerializer):
    user = serializers.SlugRelatedField(slug_field="username", read_only=True)
    secret = serializers.SerializerMethodField(help_text="Only in the answer to its creation.")

    class Meta:
        model = ApiKey
        fields = (
            "uuid",
            "user",
            "label",
            "prefix",
            "scopes",
            "allowed_addresses",
            "requests_per_minute",
            "created_at",
            "expires_at",
            "revoked_at",
            "last_used_at",
            "secret",
        )
        read_only_fields = fields

    def get_secret(self, key: ApiKey) -> str | None:
        return getattr(key, "secret", None)


class ApiKeyCreateSerializer(serializers.Serializer):
    username = serializers.CharField(max_length=150)
    label = serializers.CharField(max_length=100)
    scopes = serializers.ListField(child=serializers.CharField(max_length=100), allow_empty=False)
    expires_at = serializers.DateTimeField(required=False, allow_null=True)
    allowed_addresses = serializers.ListField(child=serializers.CharField(max_length=64), required=False, default=list)
    requests_per_minute = serializers.IntegerField(
        min_value=0, max_value=1_000_000, required=False, allow_null=True, help_text="0: no limit."
    )

    def validate_username(self, value: str) -> Any:
        user = User.objects.filter(username__iexact=value).first()
        if user is None:
            raise serializers.ValidationError("There is no such user.")
        return user
