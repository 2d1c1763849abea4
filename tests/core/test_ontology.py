from pathlib import Path

import pytest

from perception.core.config import load_yaml
from perception.core.errors import RequestError, SampleError
from perception.core.ontology import (
    KIND_SIZES,
    ClassMap,
    Ontology,
    data_folder,
    load_class_map,
    load_ontology,
    only,
    same_classes,
    target_of,
)

COCO80 = tuple(
    name.replace("_", " ")
    for name in """
    person bicycle car motorcycle airplane bus train truck boat traffic_light fire_hydrant
    stop_sign parking_meter bench bird cat dog horse sheep cow elephant bear zebra giraffe
    backpack umbrella handbag tie suitcase frisbee skis snowboard sports_ball kite
    baseball_bat baseball_glove skateboard surfboard tennis_racket bottle wine_glass cup
    fork knife spoon bowl banana apple sandwich orange broccoli carrot hot_dog pizza donut
    cake chair couch potted_plant bed dining_table toilet tv laptop mouse remote keyboard
    cell_phone microwave oven toaster sink refrigerator book clock vase scissors teddy_bear
    hair_drier toothbrush
    """.split()
)
KITTI = (
    "Car",
    "Van",
    "Truck",
    "Pedestrian",
    "Person_sitting",
    "Cyclist",
    "Tram",
    "Misc",
    "DontCare",
)
# https://www.nuscenes.org/nuscenes, and what our synthetic drives call lights and signs
NUSCENES = (
    "animal",
    *(f"human.pedestrian.{kind}" for kind in ("adult", "child", "construction_worker")),
    *(f"human.pedestrian.{kind}" for kind in ("personal_mobility", "police_officer")),
    *("human.pedestrian.stroller", "human.pedestrian.wheelchair"),
    *(f"movable_object.{kind}" for kind in ("barrier", "debris", "pushable_pullable")),
    *("movable_object.trafficcone", "static_object.bicycle_rack", "static.manmade"),
    *(f"vehicle.{kind}" for kind in ("bicycle", "bus.bendy", "bus.rigid", "car", "construction")),
    *("vehicle.emergency.ambulance", "vehicle.emergency.police"),
    *("vehicle.motorcycle", "vehicle.trailer", "vehicle.truck"),
)
VOC20 = tuple(
    """
    aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike person
    pottedplant sheep sofa train tvmonitor
    """.split()
)
# cocodataset.org: 80 of the numbers 1 to 90
COCO91_IDS = tuple(
    str(number) for number in range(1, 91) if number not in (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)
)
VOCABULARIES = {
    "coco80": COCO80,
    "coco91-ids": COCO91_IDS,
    "kitti": KITTI,
    "nuscenes": NUSCENES,
    "voc20": VOC20,
}

FILES = sorted((data_folder() / "ontologies").glob("*.yaml"))
MAPS = [path.stem for path in FILES if "-to-" in path.stem]
ONTOLOGIES = [path.stem for path in FILES if "-to-" not in path.stem]


def names_of(vocabulary: str) -> tuple[str, ...]:
    """Names of a source vocabulary, or of a shipped ontology."""
    if vocabulary in VOCABULARIES:
        return VOCABULARIES[vocabulary]
    return tuple(entry.name for entry in load_ontology(vocabulary).classes)


def test_the_list_of_coco_names_is_the_list_of_80() -> None:
    assert (len(COCO80), len(set(COCO80))) == (80, 80)
    assert (COCO80[0], COCO80[9], COCO80[79]) == ("person", "traffic light", "toothbrush")


def test_the_defaults_are_shipped() -> None:
    assert "road" in ONTOLOGIES
    assert {"coco80-to-road", "kitti-to-road"} <= set(MAPS)


@pytest.mark.parametrize("name", ONTOLOGIES)
def test_a_shipped_ontology_has_unique_names_and_ids_and_known_compositions(name: str) -> None:
    ontology = load_ontology(name)
    assert ontology.name == name
    names = [entry.name for entry in ontology.classes]
    ids = [entry.id for entry in ontology.classes]
    assert len(set(names)) == len(names) > 0
    assert len(set(ids)) == len(ids)
    assert min(ids) >= 1  # 0 is "nothing" in every format
    for rule in ontology.compose:
        assert {rule.over, rule.under, rule.becomes} <= set(names)
    for entry in ontology.classes:
        assert ontology.by_id(ontology.id_of(entry.name)) is entry


@pytest.mark.parametrize("name", MAPS)
def test_a_shipped_map_covers_its_source_exactly_and_once(name: str) -> None:
    class_map = load_class_map(name)
    assert f"{class_map.source}-to-{class_map.target}" == name
    assert len(set(class_map.ignore)) == len(class_map.ignore)
    assert set(class_map.map).isdisjoint(class_map.ignore)
    source = names_of(class_map.source)
    assert set(class_map.map) | set(class_map.ignore) == set(source)
    class_map.check_names(source)


@pytest.mark.parametrize("name", MAPS)
def test_a_shipped_map_leads_to_classes_or_to_ids_that_no_two_names_share(name: str) -> None:
    class_map = load_class_map(name)
    if class_map.target in ONTOLOGIES:
        assert set(class_map.map.values()) <= set(names_of(class_map.target))
        assert class_map.ids == {}
    else:
        assert set(class_map.map.values()) == set(class_map.ids)
        assert len(set(class_map.ids.values())) == len(class_map.ids)


@pytest.mark.parametrize(
    "name", [name for name in MAPS if name.startswith("road-to-") and name != "road-to-road"]
)
def test_a_shipped_target_names_every_id_that_it_writes(name: str) -> None:
    road, class_map = load_ontology("road"), load_class_map(name)
    target = target_of(road, class_map)
    left_out = {road.id_of(ignored) for ignored in class_map.ignore}
    assert set(target.ids) == {entry.id for entry in road.classes} - left_out
    assert set(target.ids.values()) == set(target.names)
    for class_id, written in target.ids.items():
        assert target.names[written] == class_map(road.by_id(class_id).name)


@pytest.mark.parametrize(
    ("name", "class_name", "written"),
    [  # by the formats' own tables: cityscapesscripts labels.py, semantic-kitti.yaml
        ("road-to-cityscapes", "car", 26),
        ("road-to-cityscapes", "person", 24),
        ("road-to-cityscapes", "bicycle", 33),
        ("road-to-semantic-kitti", "car", 10),
        ("road-to-semantic-kitti", "person", 30),
        ("road-to-semantic-kitti", "bicyclist", 31),
    ],
)
def test_a_format_gets_the_ids_of_its_own_tables(name: str, class_name: str, written: int) -> None:
    road = load_ontology("road")
    assert target_of(road, load_class_map(name)).ids[road.id_of(class_name)] == written


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_shipped_file_repeats_no_key(path: Path) -> None:
    # YAML's last one wins in silence; every key of these maps stands at the start of a line.
    keys: list[str] = []
    for line in path.read_text().splitlines():
        if line and not line.startswith((" ", "#")):
            keys.clear()  # a new section
        elif ":" in line and not line.lstrip().startswith(("-", "[")):
            keys.append(line.split(":")[0].strip())
            assert keys.count(keys[-1]) == 1, line
    assert isinstance(load_yaml(path), dict)


def test_without_a_map_a_format_gets_the_ontologys_own_names_and_ids() -> None:
    road = load_ontology("road")
    target = target_of(road, None)
    assert target.ids == {entry.id: entry.id for entry in road.classes}
    assert target.names[6] == "car"


def test_a_name_is_mapped_ignored_or_unknown() -> None:
    class_map = load_class_map("coco80-to-road")
    assert class_map("car") == "car"
    assert class_map("traffic light") == "traffic-light"
    assert class_map("zebra") is None
    for name in ("Car", "unicorn", ""):
        with pytest.raises(SampleError, match=r"class\.unknown") as caught:
            class_map(name)
        assert repr(name) in caught.value.message


def test_a_models_names_are_checked_before_any_work() -> None:
    class_map = load_class_map("coco80-to-road")
    class_map.check_names(())
    class_map.check_names(COCO80)
    unknown = tuple(f"thing{i}" for i in range(7))
    with pytest.raises(RequestError, match=r"class\.unknown: 7 classes are") as caught:
        class_map.check_names((*COCO80, *unknown))
    assert "thing0" in caught.value.message and "--class-map" in caught.value.message


def test_coco_numbers_lead_where_coco_names_do() -> None:
    numbers, names = load_class_map("coco91-ids-to-road"), load_class_map("coco80-to-road")
    found = [numbers(number) for number in COCO91_IDS]
    assert found == [names(name) for name in COCO80]


def test_a_message_names_what_is_unknown_and_the_line_to_write() -> None:
    with pytest.raises(RequestError) as caught:
        load_class_map("coco80-to-road").check_names((*COCO80, "traffic cone"))
    assert "1 class is" in caught.value.message
    assert '`"traffic cone": CLASS`' in caught.value.message
    assert "person" not in caught.value.message


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("Traffic_Light", "traffic-light"),
        ("trafficlight", "traffic-light"),
        ("CAR", "car"),
        ("Hot-Dog", None),
    ],
)
def test_a_name_of_another_form_is_fitted(name: str, target: str | None) -> None:
    class_map = load_class_map("coco80-to-road")
    fitted = class_map.fitted((name, "car", "unicorn"))
    assert fitted(name) == target
    assert fitted.unknown((name, "car", "unicorn")) == ("unicorn",)
    assert class_map.fitted(("car", "unicorn")) is class_map


def test_a_form_that_two_names_share_is_fitted_to_neither() -> None:
    class_map = ClassMap(source="a", target="road", map={"Stop": "traffic-sign", "stop": "bus"})
    assert class_map.fitted(("STOP",)).unknown(("STOP",)) == ("STOP",)
    same = ClassMap(source="a", target="road", map={"Car": "car", "car": "car"})
    assert same.fitted(("CAR",))("CAR") == "car"


def test_asking_an_ontology_for_what_it_has_not_is_an_error() -> None:
    road = load_ontology("road")
    with pytest.raises(RequestError, match=r"class\.unknown.*'unicorn'"):
        road.id_of("unicorn")
    for class_id in (0, -1):
        with pytest.raises(RequestError, match=rf"class\.unknown.* {class_id}$"):
            road.by_id(class_id)
    with pytest.raises(RequestError, match=r"class\.unknown"):
        Ontology(name="none", classes=()).id_of("car")


def test_a_map_that_misses_a_class_or_an_id_is_refused() -> None:
    road = load_ontology("road")
    with pytest.raises(RequestError, match=r"class\.unknown"):
        target_of(road, ClassMap(source="road", target="mine", map={"car": "auto"}))
    every = {entry.name: "thing" for entry in road.classes}
    with pytest.raises(RequestError, match=r"config\.invalid.*lacks 'thing'"):
        target_of(road, ClassMap(source="road", target="mine", map=every))


def test_a_map_of_ones_own_is_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("source: mine\ntarget: road\nmap: {auto: car}\nignore: [tree]\n")
    mine = load_class_map(str(path))
    assert (mine("auto"), mine("tree")) == ("car", None)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "config.invalid"),
        ("source: a\ntarget: b\nmap: {x: y}\nextra: 1", "config.invalid"),
        ("source: a\ntarget: b\nmap: [x]", "config.invalid"),
        ("source: a\ntarget: b\nmap: {x: y}\nids: {y: one}", "config.invalid"),
        ("source: a\ntarget: b\nmap: !!python/object/apply:os.getcwd []", "config.unsafe"),
    ],
)
def test_a_file_that_is_no_class_map_is_refused(tmp_path: Path, text: str, code: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(RequestError, match=r"mine\.yaml") as caught:
        load_class_map(str(path))
    assert caught.value.code == code


def test_a_name_that_is_not_shipped_lists_those_that_are() -> None:
    for load in (load_class_map, load_ontology):
        with pytest.raises(RequestError, match="there are coco80-to-road"):
            load("coco90-to-moon")
        with pytest.raises(RequestError, match=r"config\.invalid"):
            load("../../pyproject")


def test_a_sources_own_classes_keep_their_names_and_borrow_sizes() -> None:
    road = load_ontology()
    ontology, mapping = same_classes(("Car", "sofa", "person", "sofa"), road)
    assert [(entry.id, entry.name) for entry in ontology.classes] == [
        (1, "Car"),
        (2, "sofa"),
        (3, "person"),
    ]
    car, sofa, person = ontology.classes
    assert car.usual_m == road.by_id(road.id_of("car")).usual_m and car.parent == "vehicle"
    assert (sofa.usual_m, sofa.most_m, sofa.parent) == ((), (), "sofa")
    assert person.parent == "human" and ontology.compose == ()
    assert [mapping(name) for name in ("Car", "sofa", "person")] == ["Car", "sofa", "person"]
    with_riders, _ = same_classes([entry.name for entry in road.classes], road)
    assert with_riders.compose == road.compose
    assert same_classes((), road)[0].classes == ()


@pytest.mark.parametrize(
    ("name", "parent", "usual_m"),
    [
        ("police car", "vehicle", (4.2, 1.8, 1.5)),
        ("School-Bus", "vehicle", (12.0, 2.6, 3.2)),
        ("vehicle", "vehicle", (4.2, 1.8, 1.5)),
        ("Two Wheeler", "Two Wheeler", (1.8, 0.6, 1.1)),
        ("pedestrian", "pedestrian", (0.8, 0.6, 1.7)),
        ("carpet", "carpet", ()),
        ("sofa", "sofa", ()),
    ],
)
def test_a_class_of_a_known_kind_has_its_sizes(
    name: str, parent: str, usual_m: tuple[float, ...]
) -> None:
    (entry,) = same_classes((name,), load_ontology())[0].classes
    assert (entry.name, entry.parent, entry.usual_m) == (name, parent, usual_m)
    assert bool(entry.most_m) == bool(usual_m)


def test_what_is_usual_of_a_kind_is_within_its_bounds_and_those_hold_its_classes() -> None:
    for usual_m, most_m in KIND_SIZES.values():
        assert all(usual < most for usual, most in zip(usual_m, most_m, strict=True))
    for entry in load_ontology().classes:
        _, most_m = KIND_SIZES.get(entry.parent, ((), ()))
        assert all(own <= most for own, most in zip(entry.most_m, most_m, strict=False)), entry.name


def test_only_some_classes_are_kept_and_the_others_are_ignored_and_counted() -> None:
    coco = load_class_map("coco80-to-road")
    for asked in (("person", "traffic light"), ("Person", "traffic-light")):
        kept = only(coco, asked)
        assert kept.map == {"person": "person", "traffic light": "traffic-light"}
        assert kept("car") is None and kept("dog") is None
    assert only(coco, tuple(coco.map)) == coco
    with pytest.raises(RequestError, match=r"class\.unknown: --classes unicorn: .*there are .*car"):
        only(coco, ("person", "unicorn"))
