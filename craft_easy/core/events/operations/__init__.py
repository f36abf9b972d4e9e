"""The operations of an operator: one module for most of them, named as the command; `doctor` and `schema` have several.

`intake` (lines of a file) serves `import_` and `publish`, `unfinished_delivery` serves `dead` and `pending`;
`completion` offers values at TAB.

An operation is a function that takes the store first, calls `store.queries`, returns a summary and prints nothing; what
it reports while it runs goes to one callback. To add one:

1. `store/queries/NAME.py`: the questions that it asks MongoDB, and the writes, as functions that take a `Log`.
2. `operations/NAME.py`: the rules, and the public function; `model.figures.Counts` counts what it would touch or has.
3. `craft_events_cli/commands/NAME.py`: options, one call, output; and its row in `craft_events_cli/app.py: COMMANDS`.

May import `bus`, `engine`, `store` and the layers below them; not `redispatch` or `history`.
"""
