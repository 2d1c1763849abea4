"""Class maps: from the names of a source to the classes of an ontology, and on to a format's ids.

An ontology is a YAML file with `classes` (id, name, parent) and `compose` rules. A class map is a
YAML file with `map` (source name: class name), `ignore` (source names) and, where it leads to a
format, `ids` (class name: id). Many names may map to one class. What is neither mapped nor ignored
is an error: silence would lose labels.
"""

from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from perception.config import Settings, load_yaml
from perception.errors import RequestError, SampleError

Sizes = tuple[float, float, float] | tuple[()]


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

    def check_names(self, names: tuple[str, ...]) -> None:
        """Raise `class.unknown` if one of a model's names is neither mapped nor ignored."""
        unknown = [name for name in names if name not in self.map and name not in self.ignore]
        if unknown:
            shown = ", ".join(repr(name) for name in unknown[:5])
            raise RequestError(
                "class.unknown",
                f"{len(unknown)} classes are neither mapped nor ignored by the class map "
                f"{self.source}-to-{self.target}: {shown}; add them to `map` or `ignore` "
                "in a class map of your own and pass it with --class-map",
            )


def data_folder() -> Path:
    """Return the folder of shipped data: inside the wheel, else `datasets/` of the checkout."""
    installed = Path(str(resources.files("perception"))) / "_data"
    return installed if installed.is_dir() else Path(__file__).resolve().parent.parent / "datasets"


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
