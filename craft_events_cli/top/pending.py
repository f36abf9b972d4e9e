"""The pending deliveries, in groups."""

from __future__ import annotations

from craft_events_cli.top.grouped import GroupedView


class PendingView(GroupedView):
    """The view of pending deliveries."""

    MODE = "pending"
    STATE = "pending"
