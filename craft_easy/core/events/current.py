"""The question which delivery this is, for applications: who never imports it pays nothing for the answer.

Importing this module, as `from craft_easy.core.events import current_delivery` does, has every bus of the process open
a scope for each handler, so that a task that one handler left behind never sees the delivery of the next. Before, the
foreground handlers of an event that no store keeps share one.
"""

from __future__ import annotations

from craft_easy.core.events import context
from craft_easy.core.events.context import current_delivery

__all__ = ["current_delivery"]

context.is_asked = True
