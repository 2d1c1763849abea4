"""`perception demo`: a synthetic drive, labelled, measured and shown."""

from pathlib import Path

from perception.cli.terminal import FINE, AsJson, Flag, say, show_notice
from perception.core.progress import phase, step

FRAMES, SCENE_FRAMES, SEED = 8, 2, 1  # four streets, two frames of each


def demo(out: Path = Path("demo"), *, offline: Flag = False, as_json: AsJson = False) -> int:
    """Render a small drive, label it, measure the labels, and write a page; about a minute.

    perception demo

    The boxes are the drive's own: finding objects is not put to the test. Masks are MobileSAM's,
    which is fetched once, or GrabCut's where it cannot be had.

    Args:
        out: Folder for the drive, the run and the page; must not hold anything.
        offline: Fetch no weights.
        as_json: Print one JSON object for programs.
    """
    import pkgutil

    from perception.commands.label import label
    from perception.commands.request import LabelRequest
    from perception.core.errors import RequestError
    from perception.io.files import refuse_occupied
    from perception.models import weights
    from perception.models.registry import CASTERS
    from perception.review import show
    from perception.synthetic.command import synthesize

    refuse_occupied(out)
    tell = show_notice(as_json)
    try:
        segmenter = weights.path_of("mobile_sam", tell, offline=offline)
    except RequestError as error:
        tell(f"{error.message}: masks come from GrabCut, which is rough")
        segmenter = "grabcut"
    drive, run, page = out / "drive", out / "run", out / "report"
    phase("rendering a drive")
    caster = pkgutil.resolve_name(CASTERS["open3d"])()
    synthesize(drive, FRAMES, SEED, caster, step, scene_frames=SCENE_FRAMES)
    label(LabelRequest(f"kitti:{drive}", run, segmenter, boxes="label_2"), step, tell)
    phase("measuring labels and drawing pages")
    shown = show(run, page, truth=str(drive), address=str(run))
    lines = [
        *shown.good,
        f"the drive is in {drive}, the run in {run}; next: perception label YOUR_PICTURES",
        f"open {shown.page}",
    ]
    value = {"drive": str(drive), "run": str(run), "page": str(shown.page), "masks": segmenter}
    say(value, as_json, lines)
    return FINE
