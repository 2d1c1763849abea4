"""The class map of a box file: the shipped one that knows its names."""

from perception.core.ontology import MAX_SHOWN, ClassMap, Ontology, load_class_map, unknown_classes

SHIPPED = ("kitti-to-road", "coco80-to-road", "voc20-to-road")


def class_map_for(
    names: tuple[str, ...], ontology: Ontology, source: str = "", listed: tuple[str, ...] = ()
) -> tuple[ClassMap, tuple[str, ...]]:
    """Choose the class map that knows all the names of a box file.

    The ontology's own names come first, then each shipped map: one that knows all names as they
    are, else one that knows them but for case, spaces, hyphens and underscores, else all together.

    Args:
        names: That boxes have.
        ontology: Of the run.
        source: The box file, for messages.
        listed: Names that the file lists, and no box has: they need no map.

    Returns:
        The map, and notices: names read without regard to their form, names that need no map.

    Raises:
        RequestError: `class.unknown` for names that none of them knows.
    """
    own = {entry.name: entry.name for entry in ontology.classes}
    maps = [
        ClassMap(source=ontology.name, target=ontology.name, map=own),
        *(load_class_map(shipped) for shipped in SHIPPED),
    ]
    every = _joined(maps)
    over = _passed_over(every, listed)
    known = next((one for one in maps if not one.unknown(names)), None)
    if known is not None:
        return known, over
    for candidate in (*maps, every):
        fitted, notices = fit(candidate, names)
        if not fitted.unknown(names):
            return fitted, (*notices, *over)
    unknown = fitted.unknown(names)
    where = f"the shipped class maps{f', but used by {source}' if source else ''}"
    if all(name.isdigit() for name in unknown):
        where += (
            " (a COCO results list names classes by number; --class-map coco91-ids-to-road reads "
            "COCO's own numbers)"
        )
    raise unknown_classes(unknown, where)


def fit(
    class_map: ClassMap, names: tuple[str, ...], listed: tuple[str, ...] = ()
) -> tuple[ClassMap, tuple[str, ...]]:
    """Return a map that knows names whose form alone is another, and notices of what was passed.

    Args:
        class_map: The map.
        names: That boxes have.
        listed: Names that the file lists, and no box has: they need no entry.
    """
    fitted = class_map.fitted(names)
    over = _passed_over(class_map, listed)
    read = [name for name in class_map.unknown(names) if not fitted.unknown((name,))]
    if not read:
        return fitted, over
    shown = ", ".join(f"{name!r} as {fitted(name) or 'ignored'}" for name in read[:MAX_SHOWN])
    return fitted, (f"class names are read whatever their case, spaces, - and _: {shown}", *over)


def _passed_over(class_map: ClassMap, listed: tuple[str, ...]) -> tuple[str, ...]:
    """Return a notice of classes that a file lists, no box has, and the map does not know."""
    unknown = class_map.fitted(listed).unknown(listed)
    if not unknown:
        return ()
    shown = ", ".join(map(repr, unknown[:MAX_SHOWN]))
    return (f"classes that no box has and no class map knows are passed over: {shown}",)


def _joined(maps: list[ClassMap]) -> ClassMap:
    """Return one map of all names; where two know one, the first counts."""
    joined = {name: target for one in reversed(maps) for name, target in one.map.items()}
    ignored = {name: None for one in maps for name in one.ignore if name not in joined}
    return ClassMap(source="shipped", target=maps[0].target, map=joined, ignore=tuple(ignored))
