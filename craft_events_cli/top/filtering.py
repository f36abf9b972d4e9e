"""The filter of a view, as it is typed: `tenant:acme type:order.* state:dead o_99`.

Words with a known name select by that field; repeats of one are OR, different ones AND, as options are. All other words
are texts that an event must contain, each of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from craft_easy.core.events.model.selection import STATES, Selection
from craft_events_cli.matching import Grep

if TYPE_CHECKING:
    from craft_easy.core.events.history.endings import Ending

_FIELDS: Final[Mapping[str, str]] = {"tenant": "tenants", "type": "types", "actor": "actors", "state": "states"}
EVERY_EVENT: Final = Selection()
HINT: Final = "tenant:T  type:PATTERN  state:open|dead|done  actor:A  or any text"


@dataclass(frozen=True, slots=True)
class EventFilter:
    """What a filter selects: fields of events, and texts that they contain."""

    typed: str = ""
    chosen: Selection = EVERY_EVENT
    texts: tuple[str, ...] = ()

    @classmethod
    def read(cls, typed: str) -> EventFilter:
        """Read a filter.

        >>> EventFilter.read("tenant:acme o_99").texts
        ('o_99',)

        Raises:
            ValueError: a state does not exist.
        """
        found: dict[str, list[str]] = {}
        texts: list[str] = []
        for word in typed.split():
            name, separator, value = word.partition(":")
            if separator and value and name in _FIELDS:
                found.setdefault(_FIELDS[name], []).append(value)
            else:
                texts.append(word)
        unknown = next((one for one in found.get("states", ()) if one not in STATES), None)
        if unknown is not None:
            raise ValueError(f'the state "{unknown}" does not exist: open, dead, done or untracked')
        chosen = Selection(**{field: tuple(values) for field, values in found.items()})  # type: ignore[arg-type]  # by name
        return cls(typed, chosen, tuple(texts))

    def within(self, selection: Selection) -> Selection:
        """Return a selection narrowed by the fields; a field that both name is this filter's."""
        chosen = self.chosen
        return replace(
            selection,
            tenants=chosen.tenants or selection.tenants,
            types=chosen.types or selection.types,
            actors=chosen.actors or selection.actors,
            states=chosen.states or selection.states,
        )

    @property
    def only(self) -> Callable[[Mapping[str, Any], Ending | None], bool] | None:
        """The choice that the texts make; None where there are none."""
        if not self.texts:
            return None
        each = [Grep([text]) for text in self.texts]
        return lambda record, ending: all(one(record, ending) for one in each)
