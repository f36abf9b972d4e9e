"""Pure values: no I/O, no driver.

    event.py          DomainEvent: its fields are its payload
    event_class.py    the class that reads an event type
    envelope.py       the event fields of a record
    delivery.py       the state machine of a record: every transition of its deliveries
    retry.py          RetryPolicy, the signals Retry and Discard, outcomes
    pause.py          a paused handler
    selection.py      the selection of events: tenants, patterns of types, states, a window of time
    schema/           the schemas of event classes, and what changed between two of them
    times.py          times as people write them, and a window between two of them
    figures.py        counts for summaries, bars for charts

May import `errors` and `clock`.
"""
