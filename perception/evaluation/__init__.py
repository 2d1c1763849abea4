"""How good labels are: a run beside truth. Pure functions on typed truth, and one entry.

    report = evaluate(Path("run"), "drive")          # or "truth.json", "cityscapes:gtFine"
    report.figure("yield", "all", "yield at 95")     # Figure(0.61, low=0.55, high=0.66, n=412)
    report.lines(), report.to_dict(), to_html(report)
    Beside(("run", "other"), (report, evaluate(Path("other"), "drive"))).lines()

Each number is defined in the docstring of its module: `instances` (matching), `ranking` (AP),
`panoptic`, `points`, `yields`, `core.statistics` (intervals), `report` (what None means).
"""

from perception.core.statistics import Figure
from perception.evaluation.beside import Beside
from perception.evaluation.compare import evaluate, evaluate_labels
from perception.evaluation.loaders import read_truth
from perception.evaluation.page import to_html
from perception.evaluation.report import Report, Table
from perception.evaluation.truth import TruePicture, TruePoints, Truth, Vocabulary

__all__ = [
    "Beside",
    "Figure",
    "Report",
    "Table",
    "TruePicture",
    "TruePoints",
    "Truth",
    "Vocabulary",
    "evaluate",
    "evaluate_labels",
    "read_truth",
    "to_html",
]
