"""Delivering what was never finished: take over, claim, run, wait.

May import `bus`, `engine`, `store` and what is below them; not `history` or `operations`.
"""
