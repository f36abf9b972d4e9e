"""The commands, a module each: the options, the page, and one call.

A help page imports its command's module. So at its top a module imports what a page may load: Typer, `params`, and what
needs no driver. What loads one (the store, most of the library and of `output`) is imported by the functions that use
it, in their first lines. A command that acts leaves the rest to `actions`, which import plainly.
"""
