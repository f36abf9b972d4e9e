"""The proof that no event is lost: real processes, killed at every point, and a ledger that says what they did.

    goods        what is published, and which handlers each type has
    ledger       what processes write down, with fsync, beside the log
    application  the handler module; publisher  the process that publishes
    processes    starts processes and ends them; servers  an embedded log that can be killed
    rounds       one database and those who are killed over it; plans  which rounds there are
    watch        sees who is taken over; verdict  compares the log with the ledger
    table        what a run has come to

`make proof` runs it at length; `python -m tests.proof --help` says what else it can do.
"""
