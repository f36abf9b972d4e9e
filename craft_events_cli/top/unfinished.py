"""What the views of pending and of dead deliveries have in common: the choice that is acted on, and the actions."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType

from craft_easy.core.events.errors import EventsError
from craft_easy.core.events.operations.dead import Choice, State
from craft_easy.core.events.operations.unfinished_delivery import By, DeliveryGroup
from craft_events_cli.output.unfinished import DEAD, PENDING, Listing
from craft_events_cli.top.dialogs import AgreementDialog, ProgressDialog
from craft_events_cli.top.view import View

if TYPE_CHECKING:
    from craft_events_cli.top.actions import ConsoleAction, ConsoleActions

LISTINGS: dict[State, Listing] = {"pending": PENDING, "dead": DEAD}


class UnfinishedView(View):
    """A view of deliveries in one state, with what can be done about them."""

    STATE: State = "dead"

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "retry", "Retry"),
        Binding("d", "discard", "Discard"),
        Binding("R", "deliver", "Deliver now"),
    ]

    # ------------------------------------------------------------------ for subclasses

    def chosen(self) -> Choice | None:
        """Return the deliveries under the cursor; None where there are none."""
        raise NotImplementedError

    def acted(self) -> None:
        """Read everything again."""
        self.poller.hurry()

    # ------------------------------------------------------------------ the actions

    @property
    def state(self) -> State:
        """The state of the deliveries."""
        return self.STATE

    @property
    def actions(self) -> ConsoleActions | None:
        """What may be done; None in a console that only looks."""
        return self.top.actions

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Hide the keys of what cannot be done here."""
        if action == "retry":
            return self.actions is not None and self.state == "dead"
        if action == "discard":
            return self.actions is not None
        if action == "deliver":
            return self.actions is not None and self.actions.can_deliver
        return super().check_action(action, parameters)

    def action_retry(self) -> None:
        """Give the deliveries under the cursor a fresh budget."""
        if (choice := self.chosen()) is not None and self.actions is not None:
            self._begin(self.actions.retry(choice))

    def action_discard(self) -> None:
        """Skip the deliveries under the cursor."""
        choice = self.chosen()
        if choice is None or self.actions is None:
            return
        if self.state == "pending" and not choice.handlers:
            self.notify("pending deliveries are discarded by handler: b groups them so", severity="warning")
            return
        self._begin(self.actions.discard(choice, is_pending=self.state == "pending"))

    def action_deliver(self) -> None:
        """Run the handlers of the deliveries under the cursor."""
        choice = self.chosen()
        if choice is None or self.actions is None:
            return
        absent = next((one for one in choice.handlers if not self.actions.is_loaded(one)), None)
        if absent is not None:
            self.notify(f"{absent} is not loaded: start top with its module, -m", severity="warning", markup=False)
            return
        self._begin(self.actions.deliver(choice, is_pending=self.state == "pending"))

    def _begin(self, action: ConsoleAction) -> None:
        self.app.run_worker(self._ask_and_act(action), group="action", exclusive=True)

    async def _ask_and_act(self, action: ConsoleAction) -> None:
        try:
            sentence = await action.question()
        except EventsError as error:
            self.notify(str(error), severity="error", markup=False)
            return
        if sentence is None:
            self.notify("there is nothing left to act on")
            self.acted()
            return
        reason = await self._agreement(action, sentence)
        if reason is None:
            self.notify("nothing was done")
            return
        await self._act(action, reason)

    async def _agreement(self, action: ConsoleAction, sentence: str) -> str | None:
        assert self.actions is not None
        return await self.app.push_screen_wait(
            AgreementDialog(
                self.actions.log_name,
                action.verb,
                sentence,
                needs_reason=action.needs_reason,
                protected=self.actions.protected,
            )
        )

    async def _act(self, action: ConsoleAction, reason: str) -> None:
        dialog = ProgressDialog(action.verb)
        await self.app.push_screen(dialog)
        try:
            result = await action.run(reason, dialog.show)
            self.notify(result, timeout=10, markup=False)
        except EventsError as error:
            self.notify(str(error), severity="error", timeout=10, markup=False)
        finally:
            dialog.dismiss()
            self.acted()


def narrowed(choice: Choice, group: DeliveryGroup, by: By) -> Choice:
    """Return the deliveries of one group of a choice."""
    if by == "error":
        return replace(choice, handlers=(group.handler,), cause=group.group)
    if by == "handler":
        return replace(choice, handlers=(group.handler,))
    if by == "type":
        selection = replace(choice.selection, types=(group.group or "",))
    elif group.group is None:
        selection = replace(choice.selection, tenants=(), no_tenant=True)
    else:
        selection = replace(choice.selection, tenants=(group.group,), no_tenant=False)
    return replace(choice, selection=selection)
