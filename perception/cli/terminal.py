"""What every verb shares: exit codes, flags, and how results and progress are shown."""

import inspect
import json
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

from cyclopts import App, Parameter

from perception.cli import display
from perception.core.choices import nested as nested  # options to settings
from perception.core.errors import Interrupted
from perception.core.progress import Progress, phase

FINE, QUARANTINED, USAGE, INTERRUPTED = 0, 1, 2, 130  # exit codes
VERBOSE, QUIET = {"-v", "--verbose"}, {"-q", "--quiet"}  # of every verb
GRACE_S = 20  # for the samples in hand after a first signal; Kubernetes kills after 30

TYPED: ContextVar[Sequence[str]] = ContextVar("TYPED", default=())  # the command as it was given

AsJson = Annotated[bool, Parameter(name="--json", negative="")]
Flag = Annotated[bool, Parameter(negative="")]


def say(value: dict[str, Any], as_json: bool, lines: Sequence[str]) -> None:
    """Print the lines for people, or one JSON object for programs."""
    display.end()
    if as_json:
        sys.stdout.write(json.dumps(value, sort_keys=True) + "\n")
    else:
        sys.stdout.write("".join(f"{line}\n" for line in lines))


@contextmanager
def ending_on_signals() -> Iterator[None]:
    """Let SIGINT and SIGTERM end a command, each with its own exit code, cleaned up once.

    Only in the main thread: others get no signals.
    """

    def end(number: int, frame: FrameType | None) -> None:
        _ignore_signals()  # what ends is cleaned up without being disturbed
        raise Interrupted(number, at_once=True)

    with _handling(end):
        yield


@contextmanager
def stopping_between_samples(
    progress: Progress,
) -> Iterator[Progress]:
    """Let a first signal wait for the samples in hand, `GRACE_S` seconds at most; a second not.

    Yields:
        `progress`, which then ends the command: call it before and after each sample.
    """
    asked: list[int] = []
    begun, shown = False, -1

    def stop(number: int, frame: FrameType | None) -> None:
        if begun and not asked and number != signal.SIGALRM:
            asked.append(number)
            signal.alarm(GRACE_S)
            display.note("perception: keeping what was seen; once more ends it now")
            return
        _ignore_signals()
        raise Interrupted(asked[0] if asked else number, at_once=True)

    def check(done: int, total: int, name: str = "") -> None:
        nonlocal begun, shown
        begun = True
        if done != shown:
            progress(done, total, name)
            shown = done
        if asked:
            raise Interrupted(asked[0], at_once=False)

    with _handling(stop):
        yield check


@contextmanager
def _handling(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        signal.alarm(0)
        for number, former in before.items():
            signal.signal(number, former)


def _ignore_signals() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM):
        signal.signal(number, signal.SIG_IGN)


def show_notice(as_json: bool) -> Callable[[str], None]:
    """Return what says a notice before the work, on stderr; with --json it is in the object."""
    if as_json:
        return lambda notice: None
    return lambda notice: display.note(f"note: {notice}")


def show_steps(as_json: bool) -> Callable[[str], None]:
    """Return what says the next step of a long command, with the time of day, on stderr."""

    def tell(step: str) -> None:
        phase(step)
        if not as_json:
            display.note(f"{datetime.now():%H:%M:%S} {step}")

    return tell


def form_of(tokens: Sequence[str]) -> display.Form:
    """Return how a command shows how far it is, by its options and what stderr is."""
    if QUIET & {*tokens}:
        return "quiet"
    if "--json" in tokens:
        return "json"
    is_terminal = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
    return "terminal" if is_terminal else "plain"


def flags_of(app: App) -> frozenset[str]:
    """Return the options of every command that take no value: what follows is another word."""
    found = frozenset[str]()
    if app.default_command is not None:
        arguments = app.assemble_argument_collection()
        found = frozenset(
            name for argument in arguments if argument.hint is bool for name in argument.names
        )
    return found.union(*(flags_of(app[name]) for name in app if not name.startswith("-")))


def spell_options(tokens: Sequence[str], app: App) -> list[str]:
    """Accept `key=value` as `yolo` users type it: rewrite it to `--key=value`."""
    if not any(re.match(r"[a-z][a-z_-]*=", token) for token in tokens):
        return list(tokens)
    flags = flags_of(app)
    spelled: list[str] = []
    for token in tokens:
        key = re.match(r"([a-z][a-z_-]*)=", token)
        before = spelled[-1] if spelled else ""
        is_value = before.startswith("--") and "=" not in before and before not in flags
        if key and not is_value and not Path(token).exists():
            token = "--" + key[1].replace("_", "-") + token[len(key[1]) :]
        spelled.append(token)
    return spelled


def show_examples_apart(app: App) -> None:
    """Put the examples of every command into blocks of code, one a line: help would join them."""
    for name in app:
        if name.startswith("-"):
            continue
        command = app[name]
        if command.default_command is not None:
            text = inspect.cleandoc(command.default_command.__doc__ or "").split("\nArgs:")[0]
            command.help = in_blocks(text.strip())
        show_examples_apart(command)


def in_blocks(text: str) -> str:
    """Return a text whose paragraphs of commands are blocks of code, one command a line."""
    paragraphs = text.split("\n\n")
    for place, paragraph in enumerate(paragraphs):
        if paragraph.startswith("perception "):
            commands = re.sub(r"\n(?!perception )", " ", paragraph)
            paragraphs[place] = f"```\n{commands}\n```"
    return "\n\n".join(paragraphs)
