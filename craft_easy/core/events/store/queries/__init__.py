"""The queries of the operations and the history, usually one module for each of them, with its name.

May import the rest of `store` and what `store` may import.
"""
