"""Truth from a COCO instances file, which may have masks, boxes only, or some of each.

- Boxes only, as detection data sets are: boxes are compared.
- Some of each: if at least half of the objects have masks, masks are compared, and an object with a
  box only is an ignored region, neither found nor missed; else boxes are compared for all.
- Crowds are ignored regions, by their mask or their box.
- Names of images and classes may differ from the run's in form: see `perception.core.names`;
  classes may differ in case. A category that no annotation uses need not be known.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from perception.core import boxes as boxes_
from perception.core import masks as masks_
from perception.core.errors import RequestError
from perception.core.names import match_names
from perception.core.ontology import ClassMap, Ontology
from perception.core.types import Bool, Float32, Int32, Masks
from perception.evaluation.boxed import no_masks
from perception.evaluation.truth import TruePicture, Truth, no_points, vocabulary_of
from perception.formats import coco
from perception.formats.coco import CocoAnnotations, CocoPicture


@dataclass(frozen=True)
class _Counts:
    """What the objects that are judged have; crowds are none of them."""

    masks: int
    boxes: int
    nothing: int

    @property
    def compares_masks(self) -> bool:
        return self.masks >= self.boxes

    def notes(self) -> tuple[str, ...]:
        objects, found = self.masks + self.boxes, list[str]()
        if self.boxes and self.compares_masks:
            found.append(
                f"{self.boxes} of {objects} true objects have a box and no mask: they are neither "
                f"found nor missed, and labels there do not count; the {self.masks} with masks are "
                "judged."
            )
        elif self.boxes and self.masks:
            found.append(
                f"{self.masks} of {objects} true objects have a mask, {self.boxes} a box only: "
                "boxes are compared for all."
            )
        if self.nothing:
            found.append(
                f"{self.nothing} annotations of the truth have neither a mask nor a box on the "
                "image: they are left out."
            )
        return tuple(found)


def coco_truth(
    path: Path,
    ontology: Ontology,
    class_map: ClassMap | None = None,
    planned: Iterable[str] | None = None,
) -> Truth:
    """Open a COCO instances file. Objects of names that the class map ignores are left out.

    Only classes that a category of the file stands for are judged.

    Args:
        path: The file.
        ontology: The classes of the run.
        class_map: From the names of categories to the ontology; without it they must be names of
            the ontology.
        planned: Names of the run's images; without them images are known by the file's own names.

    Raises:
        RequestError: `truth.invalid`, `truth.empty`, `class.unknown`; those of `coco.read`.
    """
    pictures = coco.read(path)
    by_name = {picture.file_name: picture for picture in pictures}
    if len(by_name) != len(pictures):
        raise RequestError("truth.invalid", f"{path}: a file_name stands in more than one image")
    named, notes = by_name, tuple[str, ...]()
    if planned is not None:
        named, notes = _matched(by_name, planned)
    names = pictures[0].annotations.detections.class_names if pictures else ()
    if named and not any(len(picture.annotations) for picture in pictures):
        raise RequestError(
            "truth.empty", f"{path}: has no annotation, so there is nothing to compare with"
        )
    used = {int(i) for one in named.values() for i in one.annotations.detections.class_ids}
    ids = _ontology_ids(names, used, ontology, class_map, path)
    if named and not ids:
        raise RequestError(
            "truth.empty",
            f"{path}: none of its {len(names)} categories stands for a class of the ontology "
            f"{ontology.name}",
        )
    counts = _count(named.values(), ids)
    known = [ontology.by_id(class_id).name for class_id in ids.values()]

    def find_picture(name: str) -> TruePicture | None:
        found = named.get(name)
        return _picture(name, found, ids, counts.compares_masks) if found else None

    return Truth(
        name=str(path),
        picture_classes=vocabulary_of(ontology, known),
        point_classes=vocabulary_of(ontology, ()),
        find_picture=find_picture,
        find_points=no_points,
        has_masks=counts.compares_masks,
        notes=(*notes, *counts.notes()),
        image_names=tuple(by_name),
    )


def _matched(
    by_name: dict[str, CocoPicture], planned: Iterable[str]
) -> tuple[dict[str, CocoPicture], tuple[str, ...]]:
    """Return the images by the run's names, and what to know of the match."""
    found, notes = match_names(planned, list(by_name)), list[str]()
    if found.ambiguous:
        notes.append(
            f"{len(found.ambiguous)} images of the truth could be several of the run's, such as "
            f"{found.ambiguous[0]}: they are left out."
        )
    if found.elsewhere:
        ours, theirs = next(iter(found.elsewhere.items()))
        notes.append(
            f"{len(found.elsewhere)} images of the truth lie in other folders than the run's: "
            f"{theirs} is taken for {ours}."
        )
    return {ours: by_name[theirs] for ours, theirs in found.theirs_of.items()}, tuple(notes)


def _ontology_ids(
    names: tuple[str, ...],
    used: set[int],
    ontology: Ontology,
    class_map: ClassMap | None,
    path: Path,
) -> dict[int, int]:
    """Return index of a category to class id, without those that are ignored or never used."""
    own = {entry.name: entry.id for entry in ontology.classes}
    vocabulary = own if class_map is None else (*class_map.map, *class_map.ignore)
    spelt = {index: _spelt(name, vocabulary) for index, name in enumerate(names)}
    unknown = tuple(names[index] for index in sorted(used) if spelt[index] is None)
    if unknown and class_map is not None:
        class_map.check_names(unknown)
    mapped = {
        index: name if class_map is None else class_map(name)
        for index, name in spelt.items()
        if name is not None
    }
    unknown += tuple(name for name in mapped.values() if name is not None and name not in own)
    if unknown:
        raise RequestError(
            "class.unknown",
            f"{path}: {len(unknown)} categories are no classes of the ontology {ontology.name}: "
            f"{', '.join(unknown[:5])}; pass --class-map, such as coco80-to-road",
        )
    return {index: own[name] for index, name in mapped.items() if name is not None}


def _spelt(name: str, vocabulary: Iterable[str]) -> str | None:
    """Return a name as the vocabulary writes it: itself, or the only one that differs in case."""
    alike = [known for known in vocabulary if known.casefold() == name.casefold()]
    return name if name in alike else (alike[0] if len(alike) == 1 else None)


def _count(pictures: Iterable[CocoPicture], ids: dict[int, int]) -> _Counts:
    masks = boxes = nothing = 0
    for picture in pictures:
        rows = picture.annotations
        rows = rows[np.isin(rows.detections.class_ids, list(ids)) & ~rows.iscrowd]
        shaped, boxed = _shaped(rows), _boxed(_boxes(rows, picture.size_hw))
        masks += int(shaped.sum())
        boxes += int((~shaped & boxed).sum())
        nothing += int((~shaped & ~boxed).sum())
    return _Counts(masks, boxes, nothing)


def _shaped(rows: CocoAnnotations) -> Bool:
    return np.array([bool(counts) for counts in rows.masks.counts], bool)


def _boxed(boxes_xyxy: Float32) -> Bool:
    return np.asarray((boxes_xyxy[:, 2:] > boxes_xyxy[:, :2]).all(axis=1))


def _boxes(rows: CocoAnnotations, size_hw: tuple[int, int]) -> Float32:
    """Return (N, 4) boxes on the image: those of the file, else the bounds of the masks."""
    given = np.nan_to_num(rows.detections.boxes_xyxy, nan=0.0, posinf=0.0, neginf=0.0)
    clipped = boxes_.clip(given, size_hw)
    bounds = rows.masks.boxes_xyxy.astype(np.float32)
    return np.where(_boxed(clipped)[:, None], clipped, bounds).astype(np.float32)


def _picture(
    name: str, picture: CocoPicture, ids: dict[int, int], compares_masks: bool
) -> TruePicture:
    rows, size_hw = picture.annotations, picture.size_hw
    boxes_xyxy, shaped = _boxes(rows, size_hw), _shaped(rows)
    kept = np.flatnonzero(
        np.isin(rows.detections.class_ids, list(ids)) & (shaped | _boxed(boxes_xyxy))
    )
    rows, boxes_xyxy, shaped = rows[kept], boxes_xyxy[kept], shaped[kept]
    return TruePicture(
        file_name=name,
        size_hw=size_hw,
        masks=_filled(rows.masks, boxes_xyxy, shaped)
        if compares_masks
        else no_masks(len(rows), size_hw),
        boxes_xyxy=boxes_xyxy,
        class_ids=np.array([ids[int(i)] for i in rows.detections.class_ids], np.int32),
        ignored=rows.iscrowd | (compares_masks & ~shaped),
        instance_ids=rows.instance_ids,
        ranges_m=np.full(len(rows), np.nan, np.float32),
    )


def _filled(masks: Masks, boxes_xyxy: Float32, shaped: Bool) -> Masks:
    """Return the masks; where there is none, the pixels of the box."""
    rows = list[tuple[Int32, bytes]]()
    for row, has_mask in enumerate(shaped):
        if has_mask:
            rows.append((masks.boxes_xyxy[row], masks.counts[row]))
            continue
        x0, y0 = np.floor(boxes_xyxy[row, :2]).astype(int).tolist()
        x1, y1 = np.ceil(boxes_xyxy[row, 2:]).astype(int).tolist()
        rows.append(masks_.encode_one(np.ones((y1 - y0, x1 - x0), bool), (x0, y0)))
    return masks_.join(tuple(rows), masks.size_hw)
