"""The command line: parse, call one function, print. Nothing else."""

import sys
from collections.abc import Sequence

from cyclopts import App
from cyclopts.exceptions import CycloptsError

from perception.cli import display, labels, tools
from perception.cli.bench import bench_app
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
    spell_options,
)
from perception.cli.trust import corrections_app, trust_app
from perception.cli.weights import weights_app
from perception.core.errors import Interrupted, PerceptionError
from perception.core.version import __version__
from perception.models.remedies import in_one_line

__all__ = ["FINE", "INTERRUPTED", "QUARANTINED", "USAGE", "app", "main", "run"]

app = App(
    name="perception",
    help="YOLO boxes prompt SAM; the masks become checked labels for images and LiDAR points. With "
    "each command: -v keeps every phase on a line of its own, -q shows none.",
    version=__version__,
    result_action="return_value",
    suppress_keyboard_interrupt=False,  # it says how to go on, and SIGTERM has its own exit code
)
app.command(tools.init)
app.command(labels.label)
app.command(labels.relabel)
app.command(labels.export)
app.command(segment)
app.command(tools.status)
app.command(tools.verify)
app.command(tools.synthesize)
app.command(tools.evaluate)
app.command(tools.show)
app.command(tools.train)
app.command(tools.doctor)
app.command(tools.config)
app.command(tools.completion)
app.command(weights_app)
app.command(bench_app)
app.command(trust_app)
app.command(corrections_app)


START = """\
perception labels driving data: YOLO boxes prompt SAM. What most people want:

  perception label PICTURES --out runs/mine        YOLOv8n and MobileSAM, fetched once, by name
  perception show runs/mine --out page             pictures, points and figures, opens from disk
  perception export runs/mine --to coco --out labels.json

perception init PICTURES writes settings; perception weights list shows which models have a name
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
        sys.stderr.write(f"perception: {error}\n")
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
