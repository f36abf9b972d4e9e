"""What the commands do that ask before they act: each module is loaded when its command runs.

It may import the library, `acting` and `output`; the options that it needs it gets as values.
"""
