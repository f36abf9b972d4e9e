"""The delivery engine: workers that own records, and the handlers that they run; no module above `engine` is imported.

The life of a delivery:

    publish    `publisher` inserts the record, owned by this worker    (or `outbox`: in the caller's transaction)
    claim      `owner.RecordOwner.claim` makes unowned records this worker's; the write is in `store.deliveries`
    run        `runner.RecordRun` runs the handlers of one record; `pool` runs many records at the same time
    outcome    `sinks` takes each outcome: `outcomes` writes it into the record, a replay reports it (`report`)
    take over  `takeover` fences a worker whose lease has expired and frees its records, to be claimed again

`lease` holds a worker's identity and sends its heartbeats, `watchdog` finds out what blocks its event loop, `children`
derives the ids of events that handlers publish, `outage` waits until a log that is away is back.
May import `store`, `handlers`, `model` and what is below them.
"""
