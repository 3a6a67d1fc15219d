"""The same as in English; the months speak Swahili."""

from ris.core.formats.en.formats import *  # noqa: F403
