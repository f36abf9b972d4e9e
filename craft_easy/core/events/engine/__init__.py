"""Owning records and delivering them: the lease, the claim, the runner, the outcomes, the take-over.

May import `store`, `handlers`, `model` and what is below them.
"""
