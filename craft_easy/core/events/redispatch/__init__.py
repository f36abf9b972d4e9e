"""Delivering events whose handlers never finished.

    loop.py        the run: take over, claim, run, wait; once, or until it is stopped
    alongside.py   a run inside an application
    claiming.py    claims batch by batch, suspects set apart
    claim_loops.py the claim loops of a watch: a slow handler has one of its own
    pausing.py     the paused handlers of a run
    rounds.py      what a watch does each second besides: look for silent workers, keep its lease, report
    options.py     how a run works, and the records that it may claim
    backlog.py     the dry run; records without deliveries
    event_ids.py   events that are named one by one
    summary.py     the summary of a run

May import `bus`, `engine`, `store` and what is below them; not `history` or `operations`.
"""

from craft_easy.core.events.redispatch.alongside import redispatching
from craft_easy.core.events.redispatch.loop import redispatch
from craft_easy.core.events.redispatch.options import RedispatchOptions
from craft_easy.core.events.redispatch.summary import RedispatchSummary

__all__ = ["RedispatchOptions", "RedispatchSummary", "redispatch", "redispatching"]
