"""The dead deliveries, in groups."""

from __future__ import annotations

from craft_events_cli.top.grouped import GroupedView


class DeadView(GroupedView):
    """The view of dead deliveries."""

    MODE = "dead"
    STATE = "dead"
