"""Reading what happened. No record changes; a replay with `cascade` adds the events that its handlers publish.

    reading.py    print a range of history
    replay.py     run handlers over a range: what is due, paced, each tenant in order (`plan`, `range`, `pace`)
    progress.py   the low watermark of a replay and its checkpoint
    tail.py       follow the log live (`changes`: change stream or polling; `endings`; `bookmark`: its checkpoint)
    trace.py      what caused an event, and what it caused

May import `bus`, `engine`, `store` and what is below them; not `redispatch` or `operations`.
"""
