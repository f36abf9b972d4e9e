"""What the operations and the history ask MongoDB: one module for each operation, named as in `operations` or `history` where one asks alone.

May import the rest of `store` and what `store` may import.
"""
