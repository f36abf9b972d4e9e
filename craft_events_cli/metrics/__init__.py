"""The metrics that Prometheus scrapes, and the health that a probe asks for, over HTTP.

    address.py    HOST:PORT, as typed
    server.py     /metrics and /healthz, from threads of their own
    gauges.py     names, labels and the bound on handlers
    polling.py    the backlog, read in the background; its gauges and its health
    worker.py     the counts of a redispatch, from its notices; its gauges
    liveness.py   whether a redispatch is alive

May import the library, `output`, `errors` and `terminal`. Only what a command loads when it runs imports
`prometheus_client`, which is the extra `metrics`.
"""
