"""Handlers: their registration, their calls, and the context in which they run.

    registry.py     subscriptions, ids, and the handlers of an event type
    attempt.py      run one handler once: its limit, its failure, its outcome
    context.py      the current delivery; suppression during a replay
    background.py   background tasks, which are held and drained; threads for plain functions
    loops.py        one object for each event loop

May import `model` and the layers below it; imports neither the store nor the engine.
"""
