from ris.core.panels import register_bell
from ris.notifications.services import unread_count

register_bell("notifications", lambda request: unread_count(request.user))
