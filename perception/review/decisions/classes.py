"""Names of classes in edited files, and the run's."""

from collections.abc import Callable

from perception.core.errors import SampleError
from perception.core.ontology import ClassMap, Ontology

Names = Callable[[str], str]


def names_of(ontology: Ontology, class_map: ClassMap | None) -> Names:
    """Return what gives the run's name of a class, "" for a class that the run does not know.

    Names that differ in case, or in `-`, `_` and space, are one where only one class has it.

    Args:
        ontology: Of the run.
        class_map: From the file's names to the run's; None where they are the same.
    """
    own = {entry.name for entry in ontology.classes}
    folded: dict[str, list[str]] = {}
    for name in own:
        folded.setdefault(_folded(name), []).append(name)

    def find(name: str) -> str:
        if class_map is not None:
            try:
                name = class_map(name) or ""
            except SampleError:  # not in the map: it may be the run's own name
                pass
        alike = folded.get(_folded(name), [])
        return name if name in own else alike[0] if len(alike) == 1 else ""

    return find


def _folded(name: str) -> str:
    return name.strip().casefold().replace("_", "-").replace(" ", "-")
