"""The command line: parse, call one function, print. Nothing else."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cyclopts import App, Group, Parameter
from cyclopts.exceptions import CycloptsError, UnknownOptionError, UnusedCliTokensError

from perception.cli import display, labels, tools
from perception.cli.bench import bench_app
from perception.cli.classes import classes_app
from perception.cli.demo import demo
from perception.cli.segment import segment
from perception.cli.terminal import (
    FINE,
    INTERRUPTED,
    QUARANTINED,
    QUIET,
    TYPED,
    USAGE,
    VERBOSE,
    ending_on_signals,
    form_of,
    show_examples_apart,
    spell_options,
)
from perception.cli.trust import corrections_app, trust_app
from perception.cli.weights import weights_app
from perception.core.errors import Interrupted, PerceptionError
from perception.core.version import __version__
from perception.models.remedies import in_one_line

__all__ = ["FINE", "INTERRUPTED", "QUARANTINED", "USAGE", "app", "main", "run"]


def _default(value: Any) -> Any:
    """Return a default as help shows it; one that means "none" is not shown."""
    return None if value in (None, "", 0) else str(value)


QUIETLY = Parameter(negative_iterable="", show_default=_default)  # no --empty-x for lists
app = App(
    name="perception",
    default_parameter=QUIETLY,
    help="YOLO boxes prompt SAM; the masks become checked labels for images and LiDAR points. With "
    "each command: -v keeps every phase on a line of its own, -q shows none.",
    version=__version__,
    result_action="return_value",
    suppress_keyboard_interrupt=False,  # it says how to go on, and SIGTERM has its own exit code
)
FIRST = Group("What most people need", sort_key=1)
RUNS = Group("Better labels", sort_key=2)
AROUND = Group("Models, machines, settings", sort_key=3)
app.command(labels.label, group=FIRST)
app.command(tools.show, group=FIRST)
app.command(labels.export, group=FIRST)
app.command(demo, group=FIRST)
app.command(tools.doctor, group=FIRST)
app.command(labels.relabel, group=RUNS)
app.command(tools.status, group=RUNS)
app.command(tools.verify, group=RUNS)
app.command(tools.evaluate, group=RUNS)
app.command(segment, group=RUNS)
app.command(tools.init, group=AROUND)
app.command(tools.config, group=AROUND)
app.command(tools.train, group=AROUND)
app.command(tools.synthesize, group=AROUND)
app.command(tools.completion, group=AROUND)
for part, group in (
    (corrections_app, RUNS),
    (trust_app, RUNS),
    (weights_app, AROUND),
    (classes_app, AROUND),
    (bench_app, AROUND),
):
    part.group = group
    app.command(part)
show_examples_apart(app)


START = """\
perception labels driving data: YOLO boxes prompt SAM. What most people want:

  perception label PICTURES --out runs/mine        YOLOv8n and MobileSAM, fetched once, by name
  perception show runs/mine --out page             pictures, points and figures, opens from disk
  perception export runs/mine --to coco --out labels.json

perception demo shows all of it on a drive that it renders; perception init PICTURES writes settings
perception weights list shows which models have a name
perception --help                     every command; perception doctor looks at this machine
"""


@app.default
def start() -> int:
    """Show the commands that most people want."""
    sys.stdout.write(START)
    return FINE


def main(tokens: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    with ending_on_signals():
        code = run(sys.argv[1:] if tokens is None else tokens)
    sys.exit(code)


def run(tokens: Sequence[str]) -> int:
    """Run one command and return its exit code."""
    form, verbose = form_of(tokens), bool(VERBOSE & {*tokens})
    spelled = spell_options([token for token in tokens if token not in VERBOSE | QUIET], app)
    TYPED.set(spelled)
    try:
        with display.shown(form, verbose=verbose):
            result = app(spelled, exit_on_error=False, print_error=False)
        return result if isinstance(result, int) else FINE
    except CycloptsError as error:
        sys.stderr.write(f"perception: {error}{_meant(error)}\n")
        return USAGE
    except PerceptionError as error:
        sys.stderr.write(f"perception: {error}\n")
        return USAGE
    except ImportError as error:  # a library that this machine cannot load
        sys.stderr.write(f"perception: environment.broken: {in_one_line(error)}\n")
        return USAGE
    except OSError as error:  # of the run folder or the export: a full disk, no permission
        sys.stderr.write(f"perception: io.failed: {error}\n")
        return USAGE
    except KeyboardInterrupt as error:
        sys.stderr.write("perception: interrupted; the same command resumes\n")
        return error.exit_code if isinstance(error, Interrupted) else INTERRUPTED


def _meant(error: CycloptsError) -> str:
    """Return what helps after a fault of the command: all options, or how a pattern is quoted."""
    if isinstance(error, UnknownOptionError):
        names = [one.names[-1 if one.index is not None else 0] for one in error.argument_collection]
        return f" There are {', '.join(names)}."
    if isinstance(error, UnusedCliTokensError):
        words = [word for word in error.unused_tokens or () if Path(word).exists()]
        if words:
            return (
                f" The shell put {len(words) + 1} names in the place of a pattern, and one source "
                "is taken: quote it, such as 'photos/*.jpg', or name the folder."
            )
    return ""
