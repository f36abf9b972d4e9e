"""Reading what happened: replay, tail and trace. Nothing here changes the log.

May import `bus`, `engine`, `store` and what is below them; not `redispatch` or `operations`.
"""
