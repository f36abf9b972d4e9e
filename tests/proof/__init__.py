"""The proof that no event is lost: real processes, killed at every point, and a ledger of what they did.

    goods        the events that are published, and the handlers of each type
    ledger       the file in which each process records what it does, with fsync, independent of the log
    application  the handler module; publisher  the process that publishes
    processes    starts and ends processes; servers  an embedded log that can be killed
    rounds       one database and the processes that are killed over it; plans  the list of rounds
    watch        records take-overs; verdict  compares the log with the ledger
    table        the result of a run

`make proof` is the full run; `python -m tests.proof --help` lists the options.
"""
