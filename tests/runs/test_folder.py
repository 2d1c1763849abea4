"""A run folder as a whole: plan, settings, fingerprint, and what it refuses."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perception.core.config import Config, ModelSpec
from perception.core.errors import RequestError
from perception.core.ontology import load_class_map
from perception.core.types import PictureRef, SampleLabels, SampleRef
from perception.core.version import __version__
from perception.runs import folder, labels, records
from perception.runs.folder import Plan, RunSpec
from perception.runs.shards import Outcome

SpecOf = Callable[..., RunSpec]
COCO = load_class_map("coco80-to-road")


def plan_of(count: int, shard_size: int = 2) -> Plan:
    refs = (
        SampleRef(
            id=f"{i:06d}",
            layout="kitti",
            root="/data/drive",
            pictures=(PictureRef("image_2", f"image_2/{i:06d}.png"),),
            sweep_file=f"velodyne/{i:06d}.bin",
            calib_files=(f"calib/{i:06d}.txt",),
        )
        for i in range(count)
    )
    return Plan(tuple(refs), shard_size)


def spec_for(plan: Plan, spec_of: SpecOf) -> RunSpec:
    sha256 = records.sha256(plan.to_bytes())
    return spec_of(plan_sha256=sha256, config=Config(shard_size=plan.shard_size))


texts = st.text(max_size=12)  # line breaks of all kinds among them
names = texts.map(lambda text: "n" + text.replace("\0", "").replace("..", "."))
refs = st.builds(
    SampleRef,
    id=names,
    layout=texts,
    root=names.map(lambda name: f"/{name}"),
    pictures=st.lists(
        st.builds(PictureRef, camera=names, file_name=names),
        max_size=2,
        unique_by=lambda picture: picture.camera,
    ).map(tuple),
    sweep_file=names | st.just(""),
    calib_files=st.lists(names | names.map(lambda name: f"../{name}"), max_size=2).map(tuple),
    calibration=texts,
)
plans = st.lists(refs, min_size=1, max_size=5, unique_by=lambda ref: ref.id).map(tuple)


@given(plans, st.integers(1, 4), st.lists(st.integers(0, 5), max_size=3))
def test_a_plan_comes_back_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory,
    spec_of: SpecOf,
    samples: tuple[SampleRef, ...],
    shard_size: int,
    ends: list[int],
) -> None:
    run = tmp_path_factory.getbasetemp()
    plan = Plan(samples[:1], shard_size)
    for end in (*sorted(ends), len(samples)):  # it may grow
        plan = plan.grown(samples[len(plan.samples) : end])
    assert plan.samples == samples
    assert sum((plan.shard(i) for i in range(len(plan))), ()) == samples
    assert all(1 <= len(plan.shard(i)) <= shard_size for i in range(len(plan)))
    places = range(len(samples))
    assert all(samples[place] in plan.shard(plan.shard_of(place)) for place in places)
    (run / "plan.jsonl").write_bytes(plan.to_bytes())
    assert folder.read_plan(run, spec_for(plan, spec_of)) == plan


def test_a_plan_that_grows_keeps_its_lines_and_what_a_stop_left_of_them(
    tmp_path: Path, spec_of: SpecOf
) -> None:
    whole = plan_of(6)
    old = Plan(whole.samples[:3], 2)
    new = old.grown(whole.samples[3:])
    assert [len(new.shard(i)) for i in range(len(new))] == [2, 1, 2, 1]
    assert [new.first(i) for i in range(len(new))] == [0, 2, 3, 5]
    assert new.to_bytes().startswith(old.to_bytes())
    assert Plan(whole.samples[:4], 2).grown(whole.samples[4:]) == whole  # the last one was full
    assert old.grown(()) == old
    (tmp_path / "plan.jsonl").write_bytes(new.to_bytes())
    assert folder.read_plan(tmp_path, spec_for(old, spec_of)) == old  # run.json came not so far
    assert folder.read_plan(tmp_path, spec_for(new, spec_of)) == new


@pytest.mark.parametrize(("count", "shards"), [(0, 0), (1, 1), (2, 1), (3, 2), (4, 2)])
def test_every_sample_is_in_one_shard(count: int, shards: int) -> None:
    plan = plan_of(count)
    assert len(plan) == shards
    assert sum((plan.shard(i) for i in range(len(plan))), ()) == plan.samples


@pytest.mark.parametrize("data", [None, b'{"shard": 0, "id', b"[]\n", b'{"shard": 0}\n', b"\xff\n"])
def test_row_36_a_damaged_plan_is_not_read(
    tmp_path: Path, spec_of: SpecOf, data: bytes | None
) -> None:
    if data is not None:
        (tmp_path / "plan.jsonl").write_bytes(data)
    for sha256 in ("0" * 64, records.sha256(data or b"")):
        with pytest.raises(RequestError, match=r"run\.damaged.*plan"):
            folder.read_plan(tmp_path, spec_of(plan_sha256=sha256))


def test_row_36_a_plan_without_its_last_lines_is_not_read_as_a_shorter_one(
    tmp_path: Path, spec_of: SpecOf
) -> None:
    plan = plan_of(3)
    lines = plan.to_bytes().splitlines(keepends=True)
    (tmp_path / "plan.jsonl").write_bytes(b"".join(lines[:2]))
    with pytest.raises(RequestError, match=r"run\.damaged.*`label` again"):
        folder.read_plan(tmp_path, spec_for(plan, spec_of))


@pytest.mark.parametrize(
    "damage",
    [lambda data: data[:-20], lambda data: b"", lambda data: None],
    ids=["cut", "emptied", "missing"],
)
def test_row_36_a_damaged_plan_is_written_again_on_resume(
    tmp_path: Path, spec_of: SpecOf, damage: Callable[[bytes], bytes | None]
) -> None:
    plan = plan_of(3)
    spec = spec_for(plan, spec_of)
    folder.begin(tmp_path, spec, plan)
    cut = damage(plan.to_bytes())
    (tmp_path / "plan.jsonl").unlink()
    if cut is not None:
        (tmp_path / "plan.jsonl").write_bytes(cut)
    folder.begin(tmp_path, spec, plan)
    assert folder.read_plan(tmp_path, spec) == plan


def test_settings_come_back_with_the_same_fingerprint(tmp_path: Path, spec_of: SpecOf) -> None:
    spec = spec_of()
    folder.begin(tmp_path, spec, plan_of(1))
    assert folder.read_spec(tmp_path) == spec
    assert folder.read_spec(tmp_path).fingerprint() == spec.fingerprint()


def test_run_json_is_canonical_and_knows_no_clock_and_no_place(
    tmp_path: Path, spec_of: SpecOf
) -> None:
    for run in (tmp_path / "one", tmp_path / "elsewhere" / "two"):
        folder.begin(run, spec_of(), plan_of(1))
    data = (tmp_path / "one" / "run.json").read_bytes()
    assert data == (tmp_path / "elsewhere" / "two" / "run.json").read_bytes()
    assert data == records.to_json(json.loads(data))
    assert str(tmp_path) not in data.decode()


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        ({"code_version": "9.9"}, "there, '9.9' asked for"),
        ({"libraries": {"numpy": "2.1"}}, "libraries.numpy: '2.0' there, '2.1' asked for"),
        ({"plan_sha256": "1" * 64}, "samples: other ones; the run's own plan is damaged"),
        ({"detector": ModelSpec(kind="bright", sha256="1" * 64)}, "detector.sha256: '' there"),
        ({"segmenter": ModelSpec(kind="grabcut")}, "segmenter.kind: 'boxes' there, 'grabcut' as"),
        (
            {"config": Config.model_validate({"decide": {"judge": {"min_score": 0.5}}})},
            "config.decide.judge.min_score: 0.25 there, 0.5 asked for",
        ),
        ({"config": Config(shard_size=3)}, "config.shard_size: 16 there, 3 asked for"),
        ({"class_map": load_class_map("kitti-to-road")}, "class_map.map.Car: 'nothing' there"),
        (
            {"class_map": COCO.model_copy(update={"ignore": ("dog", "cat")})},
            ", ['dog', 'cat'] asked for",  # as in a file
        ),
    ],
)
def test_row_37_whatever_the_bytes_depend_on_changes_the_fingerprint(
    tmp_path: Path, spec_of: SpecOf, change: dict[str, Any], shown: str
) -> None:
    changed = spec_of(**change)
    assert changed.fingerprint() != spec_of().fingerprint()
    folder.begin(tmp_path, spec_of(), plan_of(1))
    (tmp_path / "evidence").mkdir()
    (tmp_path / "evidence" / "000000.json").write_text("{}")  # work was done
    before = (tmp_path / "run.json").read_bytes()
    with pytest.raises(RequestError, match="--new-run") as caught:
        folder.begin(tmp_path, changed, plan_of(1))
    assert caught.value.code == "run.mismatch"
    assert shown in caught.value.message
    assert caught.value.message.count("\n  ") <= 13  # a class map is long
    assert (tmp_path / "run.json").read_bytes() == before


@pytest.mark.parametrize(
    ("there", "asked", "shown"),
    [
        (3, 4, "with other samples: 1 sample more than the run: 000003; use --new-run"),
        (4, 3, "with other samples: 1 sample fewer than the run: 000003; use --new-run"),
        (1, 9, "8 samples more than the run: 000001, 000002, 000003, ..."),
    ],
)
def test_a_run_with_other_samples_names_them(
    tmp_path: Path, spec_of: SpecOf, there: int, asked: int, shown: str
) -> None:
    old, new = plan_of(there), plan_of(asked)
    folder.begin(tmp_path, spec_for(old, spec_of), old)
    (tmp_path / "evidence").mkdir()
    (tmp_path / "evidence" / "000000.json").write_text("{}")
    with pytest.raises(RequestError, match=r"run\.mismatch") as caught:
        folder.begin(tmp_path, spec_for(new, spec_of), new)
    assert shown in caught.value.message and "sha256" not in caught.value.message


def test_a_run_whose_samples_lie_elsewhere_says_where(tmp_path: Path, spec_of: SpecOf) -> None:
    old = plan_of(2)
    new = Plan(tuple(replace(ref, root="/moved") for ref in old.samples), 2)
    folder.begin(tmp_path, spec_for(old, spec_of), old)
    (tmp_path / "evidence").mkdir()
    (tmp_path / "evidence" / "000000.json").write_text("{}")
    with pytest.raises(RequestError, match="000000: root: '/data/drive' there, '/moved' asked"):
        folder.begin(tmp_path, spec_for(new, spec_of), new)


def test_only_decisions_name_the_label_set(spec_of: SpecOf) -> None:
    own = spec_of().label_set()
    assert len(own) == 12 and set(own) <= set("0123456789abcdef")
    for same in ({"config": Config(shard_size=3)}, {"plan_sha256": "1" * 64}):
        assert spec_of(**same).label_set() == own
    stricter = Config.model_validate({"decide": {"judge": {"min_score": 0.5}}}).decide
    kitti = load_class_map("kitti-to-road")
    names = {
        own,
        spec_of().with_decisions(stricter, spec_of().class_map).label_set(),
        spec_of().with_decisions(Config().decide, kitti).label_set(),
    }
    assert len(names) == 3


@pytest.mark.parametrize("name", ["holiday.jpg", ".hidden"])
def test_a_folder_with_something_else_in_it_is_not_taken(
    tmp_path: Path, spec_of: SpecOf, name: str
) -> None:
    (tmp_path / name).touch()
    with pytest.raises(RequestError, match=r"run\.occupied.*another --out"):
        folder.begin(tmp_path, spec_of(), plan_of(1))
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_run_killed_before_its_run_json_is_begun_again(tmp_path: Path, spec_of: SpecOf) -> None:
    (tmp_path / "plan.jsonl").write_bytes(plan_of(1).to_bytes())
    spec = spec_for(plan_of(2), spec_of)
    folder.begin(tmp_path, spec, plan_of(2))
    assert folder.read_plan(tmp_path, spec) == plan_of(2)
    assert folder.read_spec(tmp_path) == spec


def test_what_killed_writers_left_is_removed(tmp_path: Path, spec_of: SpecOf) -> None:
    folder.begin(tmp_path, spec_of(), plan_of(1))
    (tmp_path / "labels").mkdir()
    for parent in (tmp_path, tmp_path / "labels"):
        (parent / ".tmp-0123").write_bytes(b"half")
    folder.begin(tmp_path, spec_of(), plan_of(1))
    assert list(tmp_path.rglob(".tmp-*")) == []


@pytest.mark.parametrize("data", [None, b"", b"{", b"[]", b"{}", b'{"spec": {"libraries": 3}}'])
def test_a_damaged_run_json_says_so(tmp_path: Path, data: bytes | None) -> None:
    if data is not None:
        (tmp_path / "run.json").write_bytes(data)
    with pytest.raises(RequestError, match=r"run\.json") as caught:
        folder.read_spec(tmp_path)
    assert caught.value.code == "run.damaged"


def test_labels_of_a_run_that_has_not_finished_are_not_read(
    tmp_path: Path, spec_of: SpecOf, labels_of: Callable[..., SampleLabels]
) -> None:
    spec, plan = spec_of(), plan_of(1)
    folder.begin(tmp_path, spec, plan)
    written = [(Outcome("000000", "empty"), labels_of("000000", [[]]))]
    labels.write(tmp_path, spec.label_set(), 0, written, {})
    with pytest.raises(RequestError, match=r"run\.incomplete"):
        list(folder.read_labels(tmp_path))


def test_evidence_outlives_every_decision_and_no_other_look(spec_of: SpecOf) -> None:
    own = spec_of().evidence_fingerprint()
    stricter = Config.model_validate({"decide": {"judge": {"min_score": 0.5}}})
    deeper = Config.model_validate({"decide": {"lift": {"gap_share": 0.5}}})
    for decided in (
        {"config": stricter},
        {"config": deeper},
        {"class_map": load_class_map("kitti-to-road")},
        {"corrections": "1" * 64},
        {"decided_with": "9.9"},
    ):
        assert spec_of(**decided).evidence_fingerprint() == own, decided
    lower = Config.model_validate({"observe": {"min_score": 0.1}})
    for looked in (
        {"config": lower},
        {"plan_sha256": "1" * 64},
        {"detector": ModelSpec(kind="bright", sha256="1" * 64)},
    ):
        assert spec_of(**looked).evidence_fingerprint() != own, looked


def as_version_0_2_0_wrote_it(path: Path) -> None:
    stated = json.loads(path.read_bytes())
    spec = stated["spec"] | {"code_version": "0.2.0", "engine": "torch", "precision": "fp32"}
    observe = spec["config"]["observe"]
    observe |= {"inference": observe.pop("backend")}
    observe |= {"detect_engine": observe.pop("detect_backend")}
    path.write_bytes(records.to_json(stated | {"spec": spec}))


def test_a_run_of_version_0_2_0_is_refused_with_what_to_do(tmp_path: Path, spec_of: SpecOf) -> None:
    folder.begin(tmp_path, spec_of(), plan_of(1))
    as_version_0_2_0_wrote_it(tmp_path / "run.json")
    said = r"run\.version: .*run\.json: was made by driving-perception 0\.2\.0, .*another folder"
    for ask in (
        lambda: folder.read_spec(tmp_path),
        lambda: folder.begin(tmp_path, spec_of(), plan_of(1)),
    ):
        with pytest.raises(RequestError, match=said):
            ask()


@pytest.mark.parametrize("version", [__version__, "9\n9", 7, None])
def test_what_states_no_other_version_is_damaged(
    tmp_path: Path, spec_of: SpecOf, version: object
) -> None:
    folder.begin(tmp_path, spec_of(), plan_of(1))
    as_version_0_2_0_wrote_it(tmp_path / "run.json")
    stated = json.loads((tmp_path / "run.json").read_bytes())
    stated["spec"]["code_version"] = version
    (tmp_path / "run.json").write_bytes(records.to_json(stated))
    with pytest.raises(RequestError, match=r"run\.damaged"):
        folder.read_spec(tmp_path)
