"""Completion: values of the log that begin with what was typed, for the shell at TAB.

The answer must be there within 300 ms, so this module imports nothing that it does not need.
"""

from craft_easy.core.events.store.queries.completion import Kind, known_values

__all__ = ["Kind", "known_values"]
