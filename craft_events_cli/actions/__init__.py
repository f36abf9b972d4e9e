"""The work of the commands that act: each module is loaded when its command runs, and so imports plainly.

It may import the library, `acting` and `output`; the options that it needs it gets as values.
"""
