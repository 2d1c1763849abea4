"""`perception weights`: list, verify, pull."""

from dataclasses import asdict
from pathlib import Path

from cyclopts import App

from perception.cli.terminal import FINE, AsJson, say

weights_app = App(name="weights", help="List, verify and pull model weights.")


@weights_app.command(name="list")
def weights_list(*, as_json: AsJson = False) -> int:
    """List the weights that are known by their hash.

    Args:
        as_json: Print one JSON object for programs.
    """
    from perception import weights

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
    """Check a weights file against the known hashes.

    Args:
        path: The file.
        as_json: Print one JSON object for programs.
    """
    from perception import weights

    digest = weights.check(path)
    known = weights.identify(path)
    text = f"is {known.name} ({known.licence})" if known else "is not in the list of known weights"
    name = known.name if known else ""
    say({"sha256": digest, "known_as": name}, as_json, [f"{path}: {text}; sha256 {digest}"])
    return FINE


@weights_app.command(name="pull")
def weights_pull(name: str, *, to: Path = Path(), as_json: AsJson = False) -> int:
    """Download known weights and check their hash; the only verb that uses the network.

    Args:
        name: As `perception weights list` shows it.
        to: Folder to put it into.
        as_json: Print one JSON object for programs.
    """
    from perception import weights

    path = weights.pull(name, to)
    known = weights.identify(path)
    licence, note = (known.licence, known.note) if known else ("unknown", "")
    value = {"path": str(path), "known_as": known.name if known else "", "licence": licence}
    say(value, as_json, [f"{path}: {note} Licence: {licence}"])
    return FINE
