"""The checks of an event log: connection, server, indexes, clock, contents and handlers.

May import what `operations` may.
"""
