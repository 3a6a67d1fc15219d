"""The administration pages of people and rights, and of the layers below that cannot know them: audit and events."""

from ris.accounts.admin import access, facility, people, records

__all__ = ["access", "facility", "people", "records"]
