"""The chain that an event belongs to, as a tree that can be walked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Static, Tree
from textual.widgets.tree import TreeNode

from craft_easy.core.events.history.trace import Trace
from craft_events_cli.output.trace import TraceNode, roots, summary
from craft_events_cli.top.colors import text_of
from craft_events_cli.top.polling import Answer, PolledQuestion
from craft_events_cli.top.safe import plain
from craft_events_cli.top.view import View


class TraceView(View):
    """The trace of an event.

    Args:
        event_id: the id of the event.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", "Back"),
        Binding("enter", "open", "Open", show=True),
    ]

    def __init__(self, event_id: str) -> None:
        super().__init__()
        self.event_id = event_id
        self._trace: Trace | None = None

    def contents(self) -> ComposeResult:
        tree: Tree[str | None] = Tree("", id="trace")
        tree.show_root = False
        tree.auto_expand = False
        tree.guide_depth = 3
        yield tree
        yield Static(id="trace-status")

    def questions(self) -> Sequence[PolledQuestion[Any]]:
        return (PolledQuestion(lambda: self.source.trace(self.event_id), self._show),)

    @property
    def tree_of_events(self) -> Tree[str | None]:
        """The tree; a node of an event has its id."""
        return self.query_one("#trace", Tree)

    def on_mount(self) -> None:
        self.tree_of_events.focus()

    def action_back(self) -> None:
        self.dismiss()

    def on_tree_node_selected(self, event: Tree.NodeSelected[str | None]) -> None:
        """Open the event of a node; a handler's opens and closes."""
        if event.node.data is None:
            event.node.toggle()
        else:
            self.top.open_event(event.node.data)

    def _show(self, answer: Answer[Trace | None]) -> None:
        if answer.fault is None and answer.value is None:
            self.query_one("#trace-status", Static).update(plain(f"{self.event_id} is not in the log"))
        elif answer.value is not None and answer.value != self._trace:
            self._trace = answer.value
            self._draw(answer.value)

    def _draw(self, trace: Trace) -> None:
        tree = self.tree_of_events
        chosen = self.event_id if tree.cursor_node is None else tree.cursor_node.data
        tree.clear()
        todo: list[tuple[TreeNode[str | None], TraceNode]] = [(tree.root, top) for top in roots(trace.steps)]
        found: TreeNode[str | None] | None = None
        tree.root.expand()
        while todo:
            above, one = todo.pop(0)
            node = above.add(text_of(one.cells), one.event_id, expand=True, allow_expand=bool(one.below))
            todo += [(node, child) for child in one.below]
            found = node if found is None and one.event_id == chosen else found
        self.call_after_refresh(lambda: tree.move_cursor(found))
        self.query_one("#trace-status", Static).update(plain(summary(trace)[0]))
