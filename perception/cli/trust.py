"""`perception trust`: fit on checked labels how likely a label is right; an order without a fit."""

import shlex
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from cyclopts import App

from perception.cli.terminal import FINE, AsJson, Flag, say
from perception.core.progress import step
from perception.core.text import text_table

MIX_COLUMNS = (  # below the table of `trust mix`
    "",
    "found: boxes of mapped classes; judged: of these, not rejected for score or mask;",
    "one each: of these, no duplicates; people: of these, not rejected by anybody;",
    "accepted: labels in the end, without those for review. In brackets: share of the column.",
)
trust_app = App(name="trust", help="Fit how likely each label is right, on checked labels.")
corrections_app = App(name="corrections", help="Bring home what people decided of labels.")


@trust_app.command(name="fit")
def trust_fit(
    runs: list[str],
    /,
    *,
    out: Path,
    truth: list[str] | None = None,
    checked: list[Path] | None = None,
    class_map: str = "",
    iou: float = 0.75,
    target_precision: float | None = None,
    prior: Path | None = None,
    as_json: AsJson = False,
) -> int:
    """Fit a calibrated probability that a label is right, and draw a line at a precision.

    perception trust fit runs/drive --truth drives/1 --target-precision 0.95 --out trust.json
    perception trust fit runs/mine --checked decisions.json --prior trust.json --out mine.json

    Args:
        runs: Finished runs: folders, or s3://BUCKET/PATH.
        out: The trust file; `perception relabel RUN --trust FILE` applies it.
        truth: What each run is judged by, in their order, as in `perception evaluate`.
        checked: What people decided of each run, in their order; in place of truth.
        class_map: From the truth's class names to ours, where a truth is a COCO file.
        iou: A label is right from this mask IoU on, if its class is.
        target_precision: Share of the accepted labels that is to be right.
        prior: A trust file fitted on other labels, to start from where few are checked.
        as_json: Print one JSON object for programs.
    """
    from perception.commands import trust
    from perception.runs import records, store

    with ExitStack() as held:
        places = [held.enter_context(store.reading(run, evidence=False)) for run in runs]
        judged = trust.gather(
            places, truths=truth or [], files=checked or [], class_map=class_map, right_iou=iou
        )
    found = trust.fit(judged, right_iou=iou, target_precision=target_precision, prior=prior)
    records.write_json(out, found.model.model_dump(mode="json"))
    after = f"trust file {out}; next: perception relabel {shlex.quote(runs[0])} --trust {out}"
    say(found.model.model_dump(mode="json"), as_json, [*found.lines(), after])
    return FINE


@trust_app.command(name="order")
def trust_order(run: str, *, first: int = 20, as_json: AsJson = False) -> int:
    """List a run's labels worst first: by trust where they have one, else by an order alone.

    perception trust order runs/drive

    Args:
        run: A finished run: a folder, or s3://BUCKET/PATH.
        first: How many to list.
        as_json: Print one JSON object for programs.
    """
    from perception.commands import trust
    from perception.runs import store

    with store.reading(run, evidence=False) as place:
        rows = trust.worst_first(place)[:first]
    table = [("sample", "instance", "class", "status", "score", "trust", "reasons")]
    for row in rows:
        trusted = "-" if row.trust is None else f"{row.trust:.3f}"
        reasons = ", ".join(row.reasons) or "-"
        figures = (f"{row.score:.2f}", trusted, reasons)
        table.append((row.sample, str(row.instance), row.class_name, row.status, *figures))
    value = {"labels": [asdict(row) for row in rows]}
    say(value, as_json, text_table(table) if rows else ["no label waits for a decision"])
    return FINE


@trust_app.command(name="mix")
def trust_mix(run: str, *, as_json: AsJson = False) -> int:
    """Show how many labels of each class pass each gate, and how that changes the mix of classes.

    In brackets the share of a class in its column.

    perception trust mix runs/drive

    Args:
        run: A finished run: a folder, or s3://BUCKET/PATH.
        as_json: Print one JSON object for programs.
    """
    from perception.commands.hygiene import class_mix
    from perception.runs import store

    with store.reading(run, evidence=False) as place:
        mix = class_mix(place)
    say(mix.passed, as_json, [*mix.lines(), *MIX_COLUMNS])
    return FINE


@corrections_app.command(name="apply")
def corrections_apply(
    run: str,
    file: Path,
    *,
    dry_run: Flag = False,
    class_map: str = "",
    all_checked: Flag = False,
    allow_deletions: Flag = False,
    as_json: AsJson = False,
) -> int:
    """Put what people decided in the place of what was decided; no model runs.

    perception corrections apply runs/drive decisions.json
    perception corrections apply runs/drive annotations.xml --dry-run

    Of an edited file only what was changed counts as decided. Rows that cannot be placed are kept
    apart and counted; a label that one of them may be stays. Rectangles, ellipses and polygons
    become masks as they are drawn.

    Args:
        run: A finished run: a folder, or s3://BUCKET/PATH.
        file: A decisions file of the review page, or a COCO or CVAT export of this run that was
            edited elsewhere, or the folder that it is in.
        dry_run: Show the table and change nothing.
        class_map: From an edited file's class names to the run's: a shipped class map or a YAML
            file.
        all_checked: Everything in an edited file was looked at: what it holds unchanged is kept by
            people, too.
        allow_deletions: Apply a file that lacks most labels and changes none.
        as_json: Print one JSON object for programs.
    """
    from perception.commands import corrections

    terms = corrections.Terms(class_map, all_checked, allow_deletions)
    applied = corrections.apply(run, file, step, terms=terms, dry_run=dry_run)
    say(applied.to_dict(), as_json, applied.lines())
    return FINE
