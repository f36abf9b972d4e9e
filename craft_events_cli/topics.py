"""The pages of `craft-events help` that are about no command: exit codes, the environment, formats.

They are plain text, so that none of them loads the library; tests compare them with what they speak of.
"""

from __future__ import annotations

from typing import Final

from craft_events_cli import terminal
from craft_events_cli.exit_codes import ExitCode
from craft_events_cli.main import PROGRAM, TOPICS

CODES: Final = {
    ExitCode.DONE: "done; also when nothing was to be done, or a pipe's reader went away",
    ExitCode.UNEXPECTED: "an unexpected error: --debug shows where it came from",
    ExitCode.USAGE: "wrong usage, a setting that cannot be used, or a question not answered",
    ExitCode.UNFINISHED: "something failed, died, was not found, or crossed a threshold",
    ExitCode.UNREACHABLE: "the database could not be reached, or refused the login",
    ExitCode.HANDLER_MODULE: "a handler module could not be loaded",
    ExitCode.CHECKPOINT: "a checkpoint cannot be used",
    ExitCode.INTERRUPTED: "ended by SIGINT, Ctrl-C",
    ExitCode.TERMINATED: "ended by SIGTERM",
}

_EXIT_CODES: Final = """
  craft-events redispatch --due --handlers shop.handlers; echo $?
  craft-events show 019abf3e-77d1-7000-8000-000000000057 || echo "not there"

{codes}

An error is one to three lines on stderr that say what to do next; stdout has no part of it. What acts keeps its code
when stdout is closed. A run that needs an answer, and has no terminal to ask on, ends with 2: --yes goes on.
"""

_ENVIRONMENT: Final = """
  CRAFT_EVENTS_URI=mongodb://db-1/shop craft-events replay --since 2d
  craft-events replay --since 2d --env prod
  craft-events config show --env prod

# Variables
  CRAFT_EVENTS_ENV          an environment of pyproject.toml (--env)
  CRAFT_EVENTS_URI          MongoDB's address, or embedded:DIR (--uri)
  CRAFT_EVENTS_DATABASE     else the address's, else craft_easy (--database)
  CRAFT_EVENTS_COLLECTION   else event_log (--collection)
  CRAFT_EVENTS_HANDLERS     handler modules, separated by commas (--handlers)
  NO_COLOR, TERM=dumb       no colours, unless --color always
  COLUMNS                   how wide a table is; else as wide as the terminal

# pyproject.toml
  [tool.craft-events]
  uri = "mongodb://localhost:27017/shop"
  handlers = ["shop.handlers"]

  [tool.craft-events.env.prod]
  uri-command = ["pass", "show", "shop/mongodb"]
  protected = true

A flag goes before a variable, a variable before the chosen environment of the nearest pyproject.toml that has the
table, that before the table itself, and that before the default. Instead of uri, uri-env names a variable, uri-file a
file, uri-command a command that prints the address. Further keys are database, collection and app-dir. A protected
environment has its name typed before a command acts on it; where nobody can type, --confirm-env ENV says it.
"""

_FORMATS: Final = """
  craft-events replay --tenant acme -o ndjson | jq -r .event_id
  craft-events replay --since 1d -o csv > yesterday.csv
  craft-events dead list --by error -o json

# -o, --output
  table    for people; columns go by importance where the terminal is narrow
  ndjson   one JSON object a line
  json     one array, or one object for a summary; what has no end refuses it
  csv      RFC 4180, the payload as JSON; what looks like a formula gets a '

Without -o a terminal gets a table and a pipe NDJSON: the same data. stdout is data alone; progress, questions, warnings
and summaries go to stderr.

# An event
  event_id  event_type  timestamp  tenant_id  actor_id  payload
  causation_id  correlation_id  delivery

Always all of them, in this order; then "redacted", {at, by, reason}, where the payload was removed on request, and
"foreign": true where another program wrote the record. Times are UTC, 2026-01-31T10:00:00.000Z. In a payload what
JSON has no word for is MongoDB's relaxed Extended JSON. delivery is null where the event is untracked. Only ASCII is
written, and nothing that a terminal could obey.

export writes records as they are stored, in MongoDB's Extended JSON; import takes those, what mongoexport writes, and
Event JSON; publish takes Event JSON, of which event_type alone is needed. tail --template '{timestamp}
{payload.order_id}' writes lines of your own.

# A delivery
  event_id  event_type  tenant_id  handler  outcome  attempt  error

A line for each, of redispatch, of replay with handlers and, with took_ms, reason and at behind them, of tail
--outcomes; an event has no outcome. outcome is done, failed (it is tried again), dead, skipped or lost.
"""


_TEXTS: Final = {"exit-codes": _EXIT_CODES, "environment": _ENVIRONMENT, "formats": _FORMATS}


def page(topic: str) -> str:
    """Return the page of a topic, its paragraphs as wide as the terminal."""
    shown = [f"{PROGRAM} help {topic}: {TOPICS[topic]}", *blocks(topic)]
    return "\n\n".join(map(_shown, shown)) + "\n"


def blocks(topic: str) -> list[str]:
    """Return the blocks of a topic: lines that begin with a space stand as they are, `# ` begins a heading."""
    codes = "\n".join(f"  {int(code):<5}{text}" for code, text in CODES.items())
    return _TEXTS[topic].replace("{codes}", codes).strip("\n").split("\n\n")


def _shown(text: str) -> str:
    from textwrap import fill

    first, _, rest = text.partition("\n")
    if first.startswith("# "):
        return f"{terminal.heading(first[2:])}\n{rest}"
    return text if first.startswith(" ") else fill(" ".join(text.split()), terminal.width())
