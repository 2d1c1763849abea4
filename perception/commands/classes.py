"""`perception classes new`: a class map for a detector, to be changed by hand."""

import json
from collections.abc import Callable
from pathlib import Path

from perception.core.errors import RequestError
from perception.core.ontology import Ontology, load_class_map, load_ontology
from perception.models import given_boxes, registry, weights

COCO = "coco80-to-road"


def template(text: str, names: str, tell: Callable[[str], None]) -> str:
    """Return a class map in YAML, as `--class-map` reads it, with a comment for what is open.

    Names that a shipped class map knows lead where it leads; all others are ignored.

    Args:
        text: Weights of a detector, or the name of known ones.
        names: A file with the names of its classes; "" for those that it states.
        tell: Called before known weights are fetched.

    Raises:
        RequestError: `class.unknown` for weights whose names are not known without loading them; as
            `registry.choose_detector`.
    """
    choice = registry.choose_detector(weights.path_of(text, tell), True, names)  # nothing is loaded
    found = choice.class_names
    if not found and weights.identify(choice.path) is not None:
        coco = load_class_map(COCO)  # all detectors that are known by their hash are COCO's
        found = (*coco.map, *coco.ignore)
    if not found:
        raise RequestError(
            "class.unknown",
            f"{text}: the names of its classes are not stated where they can be read without "
            "loading it; give them with --names FILE, or export it as .onnx",
        )
    return written(found, Path(text).name, load_ontology())


def written(names: tuple[str, ...], file_name: str, ontology: Ontology) -> str:
    """Return the text of a class map from names to an ontology."""
    ours = ", ".join(entry.name for entry in ontology.classes)
    mapped, ignored = list[str](), list[str]()
    for name in dict.fromkeys(names):
        target, remark = _target(name, ontology)
        if target is None:
            ignored.append(f"  - {json.dumps(name)}{remark}")
        else:
            mapped.append(f"  {json.dumps(name)}: {target}")
    lines = [
        f"# Class map of {json.dumps(file_name)}: perception label SOURCE --class-map THIS_FILE",
        "# Under `map` its names lead to ours; what is under `ignore` is left out, and counted.",
        f"# Ours: {ours}.",
        "source: detector",
        f"target: {ontology.name}",
        *(["map:", *mapped] if mapped else ["map: {}"]),
        *(["ignore:", *ignored] if ignored else ["ignore: []"]),
    ]
    return "\n".join(lines) + "\n"


def _target(name: str, ontology: Ontology) -> tuple[str | None, str]:
    try:
        known, _ = given_boxes.class_map_for((name,), ontology)
    except RequestError:
        return None, "  # not known: to label it, write it under `map` with one of ours"
    return known(name), ""
