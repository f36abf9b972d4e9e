"""What the operations and the history ask MongoDB: one module for each operation, named as in `operations`.

May import the rest of `store`.
"""
