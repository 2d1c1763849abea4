"""`perception weights`: list, verify, pull, export."""

from dataclasses import asdict
from pathlib import Path

from cyclopts import App

from perception.cli.terminal import FINE, QUARANTINED, AsJson, say

weights_app = App(name="weights", help="List, verify, pull and export model weights.")


@weights_app.command(name="list")
def weights_list(*, as_json: AsJson = False) -> int:
    """List the weights that are known by their hash.

    Args:
        as_json: Print one JSON object for programs.
    """
    from perception.models import weights

    rows = [asdict(known) for known in weights.KNOWN]
    lines = [
        f"{known.name:22} {known.kind:10} {known.size_bytes / 1e6:7.1f} MB "
        f"{known.parameters / 1e6:6.1f} M parameters  input {known.input_px:4} px  "
        f"{known.licence:14} {known.note}"
        for known in weights.KNOWN
    ]
    say({"weights": rows}, as_json, lines)
    return FINE


@weights_app.command(name="verify")
def weights_verify(path: Path, *, as_json: AsJson = False) -> int:
    """Check a weights file against the known hashes; exits with 1 if it is none of them.

    perception weights verify mobile_sam.pt

    Args:
        path: The file.
        as_json: Print one JSON object for programs.
    """
    from perception.models import weights

    digest = weights.check(path)
    known = weights.identify(path)
    text = f"is {known.name} ({known.licence})" if known else "is not in the list of known weights"
    name = known.name if known else ""
    say({"sha256": digest, "known_as": name}, as_json, [f"{path}: {text}; sha256 {digest}"])
    return FINE if known else QUARANTINED


@weights_app.command(name="pull")
def weights_pull(name: str, *, to: Path = Path(), as_json: AsJson = False) -> int:
    """Download known weights and check their hash.

    perception weights pull mobile_sam

    Args:
        name: As `perception weights list` shows it.
        to: Folder to put it into.
        as_json: Print one JSON object for programs.
    """
    from perception.models import weights

    path = weights.pull(name, to)
    known = weights.identify(path)
    licence, note = (known.licence, known.note) if known else ("unknown", "")
    value = {"path": str(path), "known_as": known.name if known else "", "licence": licence}
    option = f"--{known.kind}" if known else "--detector"
    lines = [
        f"{path}: {note} Licence: {licence}",
        f"next: perception label PICTURES {option} {path}",
    ]
    say(value, as_json, lines)
    return FINE


@weights_app.command(name="export")
def weights_export(path: Path, *, out: Path, as_json: AsJson = False) -> int:
    """Write a SAM checkpoint as ONNX, checked against PyTorch in ONNX Runtime at the end.

    perception weights export mobile_sam.pt --out onnx

    encoder.onnx: pixels (1, 3, 1024, 1024), scaled by the longest side, ImageNet's mean and
    deviation, zeros for padding; to embedding. decoder.onnx (decoder3.onnx has 3 masks): embedding,
    tokens_xy (prompts, tokens, 2) in pixels of the square and kinds (prompts, tokens), 1 on the
    object, 0 not, 2 and 3 corners of its box, -1 none, which comes last in prompts without a box;
    to logits (prompts, masks, 256, 256) and predicted_ious.

    Args:
        path: A MobileSAM or SAM ViT-B/L/H checkpoint.
        out: Folder for the files; must not hold anything.
        as_json: Print one JSON object for programs.
    """
    import pkgutil

    from perception.core.errors import RequestError
    from perception.io.files import refuse_occupied
    from perception.models.registry import EXPORTERS, choose_segmenter

    choice = choose_segmenter(str(path))
    if choice.spec.kind not in EXPORTERS:
        raise RequestError(
            "weights.invalid",
            f"{path}: expected a SAM checkpoint (.pt, .pth, .safetensors), to export it",
        )
    refuse_occupied(out)
    rows = pkgutil.resolve_name(EXPORTERS[choice.spec.kind])(choice.path, out)
    lines = [f"{path}: {path.stat().st_size / 1e6:.1f} MB"]
    lines += [
        f"{out / row.name}: {row.size_bytes / 1e6:.1f} MB, PyTorch {row.torch_s:.2f} s, ONNX "
        f"Runtime {row.onnx_s:.2f} s, differs by {row.difference:.1e} of the largest value"
        for row in rows
    ]
    say({"out": str(out), "files": [asdict(row) for row in rows]}, as_json, lines)
    return FINE
