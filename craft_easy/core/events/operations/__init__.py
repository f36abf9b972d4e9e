"""What an operator does: one module for each operation, which calls `store.queries` and prints nothing.

May import `bus`, `engine`, `store` and what is below them; not `redispatch` or `history`.
"""
