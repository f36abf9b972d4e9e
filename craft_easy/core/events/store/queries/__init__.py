"""The questions of the operations, one module for each, named as in `operations`.

May import the rest of `store`.
"""
