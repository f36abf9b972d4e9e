"""Delivering events whose handlers never finished: take over, claim, run, wait.

May import `bus`, `engine`, `store` and what is below them; not `history` or `operations`.
"""

from craft_easy.core.events.redispatch.loop import redispatch, redispatching
from craft_easy.core.events.redispatch.options import RedispatchOptions
from craft_easy.core.events.redispatch.summary import RedispatchSummary

__all__ = ["RedispatchOptions", "RedispatchSummary", "redispatch", "redispatching"]
