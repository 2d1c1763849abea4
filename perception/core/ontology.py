"""Class maps: from the names of a source to the classes of an ontology, and on to a format's ids.

An ontology is a YAML file with `classes` (id, name, parent) and `compose` rules. A class map is a
YAML file with `map` (source name: class name), `ignore` (source names) and, where it leads to a
format, `ids` (class name: id). Many names may map to one class. What is neither mapped nor ignored
is an error: silence would lose labels.
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from perception.core.config import Settings, load_yaml
from perception.core.errors import RequestError, SampleError

SAME = "same"  # the class map that keeps a source's own classes
MAX_SHOWN, _LONGEST = 20, 100  # unknown names in one message, and characters of one
_FORM = re.compile(r"[\s_-]+")  # between the words of a name
Sizes = tuple[float, float, float] | tuple[()]
# Usual and largest length, width and height of families, where a source names no more than these:
# what is usual of most of their objects on a street, and the bounds of the family's largest class.
KIND_SIZES: dict[str, tuple[Sizes, Sizes]] = {
    "vehicle": ((4.2, 1.8, 1.5), (90.0, 3.5, 5.0)),
    "human": ((0.8, 0.6, 1.7), (3.0, 1.6, 2.6)),
    "pedestrian": ((0.8, 0.6, 1.7), (1.6, 1.6, 2.5)),
    "cyclist": ((1.8, 0.6, 1.7), (2.6, 1.6, 2.6)),
    "rider": ((1.8, 0.6, 1.7), (3.0, 1.6, 2.6)),
    "twowheeler": ((1.8, 0.6, 1.1), (3.0, 1.6, 2.2)),
}


class OntologyClass(Settings):
    """One class; classes of one `parent` are a family.

    Attributes:
        id: In stored labels.
        name: Of the class.
        parent: The family.
        usual_m: Length, width and height of most of its objects; () where they have none.
        most_m: What no object of it exceeds, load and all; () for no bounds.
    """

    id: int
    name: str
    parent: str
    usual_m: Sizes = ()
    most_m: Sizes = ()


class Composition(Settings):
    """An `over` object on an `under` object is one object of class `becomes`, masks joined."""

    over: str
    under: str
    becomes: str


class Ontology(Settings):
    """The classes of a run."""

    name: str
    classes: tuple[OntologyClass, ...]
    compose: tuple[Composition, ...] = ()

    def id_of(self, name: str) -> int:
        """Return the id of a class by name."""
        for entry in self.classes:
            if entry.name == name:
                return entry.id
        raise RequestError("class.unknown", f"ontology {self.name} has no class {name!r}")

    def by_id(self, class_id: int) -> OntologyClass:
        """Return a class by id."""
        for entry in self.classes:
            if entry.id == class_id:
                return entry
        raise RequestError("class.unknown", f"ontology {self.name} has no class id {class_id}")


class ClassMap(Settings):
    """From names of one vocabulary to names of another.

    Attributes:
        source: The vocabulary that the keys of `map` belong to.
        target: The vocabulary that its values belong to.
        map: Source name to target name.
        ignore: Source names that are left out, and counted.
        ids: Target name to the id that a format writes; empty where the target is an ontology.
    """

    source: str
    target: str
    map: dict[str, str]
    ignore: tuple[str, ...] = ()
    ids: dict[str, int] = Field(default_factory=dict)

    def __call__(self, name: str) -> str | None:
        """Return the target name, None for an ignored one.

        Raises:
            SampleError: `class.unknown` for a name that is neither mapped nor ignored.
        """
        if name in self.map:
            return self.map[name]
        if name in self.ignore:
            return None
        raise SampleError(
            "class.unknown",
            f"class {name!r} is neither mapped nor ignored by {self.source}-to-{self.target}",
        )

    def fitted(self, names: Iterable[str]) -> "ClassMap":
        """Return the map with an entry for each name that differs from one of its own by form only.

        `Car`, `traffic_light` and `Traffic-Light` are `car` and `traffic light`, unless two of the
        map's names that lead elsewhere differ by no more than that.
        """
        own: dict[str, set[str | None]] = defaultdict(set)
        for name in (*self.map, *self.ignore):
            own[_plain(name)].add(self.map.get(name))
        new = [name for name in self.unknown(names) if len(own.get(_plain(name), ())) == 1]
        targets = {name: next(iter(own[_plain(name)])) for name in new}
        mapped = {name: target for name, target in targets.items() if target is not None}
        ignored = tuple(name for name in new if name not in mapped)
        if not new:
            return self
        return self.model_copy(
            update={"map": {**self.map, **mapped}, "ignore": (*self.ignore, *ignored)}
        )

    def unknown(self, names: Iterable[str]) -> tuple[str, ...]:
        """Return the names that are neither mapped nor ignored, each once, in their order."""
        ignored = frozenset(self.ignore)
        return tuple(
            name for name in dict.fromkeys(names) if name not in self.map and name not in ignored
        )

    def check_names(self, names: tuple[str, ...]) -> None:
        """Raise `class.unknown` if one of a source's names is neither mapped nor ignored."""
        unknown = self.unknown(names)
        if unknown:
            raise unknown_classes(unknown, f"the class map {self.source}-to-{self.target}")


def unknown_classes(names: Sequence[str], where: str) -> RequestError:
    """Return the refusal of classes that nothing maps: it names them, and what to write."""
    shown = ", ".join(repr(name[:_LONGEST]) for name in names[:MAX_SHOWN])
    more = f" and {len(names) - MAX_SHOWN} more" if len(names) > MAX_SHOWN else ""
    what = "1 class is" if len(names) == 1 else f"{len(names)} classes are"
    return RequestError(
        "class.unknown",
        f"{what} neither mapped nor ignored by {where}: {shown}{more}; in a class map of your own "
        f"(--class-map FILE.yaml) write `{json.dumps(names[0][:_LONGEST])}: CLASS` under `map`, or "
        "the name in the list `ignore` (`perception classes new DETECTOR > map.yaml` writes one to "
        "change), or keep all classes as they are: --class-map same",
    )


def _plain(name: str) -> str:
    return _FORM.sub("", name).casefold()


def data_folder() -> Path:
    """Return the folder of shipped data: inside the wheel, else `datasets/` of the checkout."""
    installed = Path(str(resources.files("perception"))) / "_data"
    return installed if installed.is_dir() else Path(__file__).resolve().parents[2] / "datasets"


def _load(name_or_path: str) -> tuple[str, Any]:
    path = Path(name_or_path)
    if path.suffix not in {".yaml", ".yml"}:
        path = data_folder() / "ontologies" / f"{name_or_path}.yaml"
        if not path.is_file():
            known = sorted(file.stem for file in path.parent.glob("*.yaml"))
            raise RequestError(
                "config.invalid",
                f"no shipped ontology or class map {name_or_path!r}; there are {', '.join(known)}; "
                "or give a .yaml file",
            )
    return str(path), load_yaml(path)


def _invalid(path: str, error: ValidationError) -> RequestError:
    fault = error.errors()[0]
    key = ".".join(str(part) for part in fault["loc"])
    return RequestError("config.invalid", f"{path}: {key}: {fault['msg']}")


@cache
def load_ontology(name_or_path: str = "road") -> Ontology:
    """Read an ontology that ships with the package ("road") or a YAML file."""
    path, values = _load(name_or_path)
    try:
        return Ontology.model_validate(values)
    except ValidationError as error:
        raise _invalid(path, error) from error


@cache
def load_class_map(name_or_path: str) -> ClassMap:
    """Read a class map that ships with the package ("coco80-to-road") or a YAML file."""
    path, values = _load(name_or_path)
    try:
        return ClassMap.model_validate(values)
    except ValidationError as error:
        raise _invalid(path, error) from error


def same_classes(names: Sequence[str], known: Ontology) -> tuple[Ontology, ClassMap]:
    """Return an ontology whose classes are a source's own, each mapped to itself.

    A class that another ontology has too, whatever the form of its name, has its family and sizes
    from there, and so has one whose last word it has ("police car", "school-bus"); a class that is
    called as a family ("vehicle") has the family's. Others have none: nothing is refused for their
    size.

    Args:
        names: Of the source; a name that comes twice counts once.
        known: Where sizes come from.
    """
    of_form = {_plain(entry.name): entry for entry in known.classes}
    classes = []
    for number, name in enumerate(dict.fromkeys(names), start=1):
        last = _FORM.split(name.strip())[-1]
        like = of_form.get(_plain(name)) or of_form.get(_plain(last)) or _of_kind(name)
        classes.append(like.model_copy(update={"id": number, "name": name}))
    listed = {entry.name for entry in classes}
    rules = tuple(rule for rule in known.compose if {rule.over, rule.under, rule.becomes} <= listed)
    ontology = Ontology(name=SAME, classes=tuple(classes), compose=rules)
    return ontology, ClassMap(source=SAME, target=SAME, map={name: name for name in listed})


def _of_kind(name: str) -> OntologyClass:
    usual_m, most_m = KIND_SIZES.get(_plain(name), ((), ()))
    return OntologyClass(id=0, name=name, parent=name, usual_m=usual_m, most_m=most_m)


def only(class_map: ClassMap, classes: Sequence[str]) -> ClassMap:
    """Return a class map that ignores all names but those of some classes.

    Args:
        class_map: The map.
        classes: Names of the source, or of the ontology, whatever their form.

    Raises:
        RequestError: `class.unknown` for a class that the map does not lead to.
    """
    wanted = {_plain(name): name for name in classes}
    found = {_plain(name) for pair in class_map.map.items() for name in pair}
    if unknown := [name for plain, name in wanted.items() if plain not in found]:
        known = ", ".join(dict.fromkeys(class_map.map.values()))
        raise RequestError(
            "class.unknown",
            f"--classes {', '.join(unknown)}: the class map {class_map.source}-to-"
            f"{class_map.target} has no such class; there are {known}",
        )
    kept = {
        name: target
        for name, target in class_map.map.items()
        if _plain(name) in wanted or _plain(target) in wanted
    }
    others = tuple(name for name in class_map.map if name not in kept)
    return class_map.model_copy(update={"map": kept, "ignore": (*class_map.ignore, *others)})


class Target(Settings):
    """What a format calls the classes of a run.

    Attributes:
        ids: Ontology class id to the id that the format writes; classes that the class map ignores
            are missing.
        names: Id in the format to its name.
    """

    ids: dict[int, int]
    names: dict[int, str]


def target_of(ontology: Ontology, class_map: ClassMap | None) -> Target:
    """Resolve what a format writes; without a class map, the ontology's own names and ids.

    Raises:
        RequestError: `class.unknown` if the map misses a class of the ontology, `config.invalid` if
            it gives no id to a name.
    """
    if class_map is None:
        ids = {entry.id: entry.id for entry in ontology.classes}
        return Target(ids=ids, names={entry.id: entry.name for entry in ontology.classes})
    class_map.check_names(tuple(entry.name for entry in ontology.classes))
    ids, names = {}, {}
    for entry in ontology.classes:
        name = class_map(entry.name)
        if name is None:
            continue
        if name not in class_map.ids:
            raise RequestError(
                "config.invalid",
                f"class map {class_map.source}-to-{class_map.target}: `ids` lacks {name!r}",
            )
        ids[entry.id] = class_map.ids[name]
        names[class_map.ids[name]] = name
    return Target(ids=ids, names=names)
