import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from perception.core.config import (
    MAX_YAML_BYTES,
    Config,
    load_config,
    load_yaml,
    merge,
    parse_config,
)
from perception.core.errors import RequestError
from perception.core.presets import PRESETS, with_preset

ROOT = Path(__file__).resolve().parents[2]


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "given.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def refused(tmp_path: Path, text: str) -> RequestError:
    with pytest.raises(RequestError) as caught:
        load_config(written(tmp_path, text), {})
    assert "given.yaml" in caught.value.message
    return caught.value


def test_without_a_file_the_defaults_in_code_hold() -> None:
    assert load_config(None, {}) == Config()


@pytest.mark.parametrize("text", ["", "\n", "# nothing but a remark\n", "---\n", "{}"])
def test_an_empty_file_changes_nothing(tmp_path: Path, text: str) -> None:
    assert load_config(written(tmp_path, text), {}) == Config()


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda p: p.name)
def test_every_shipped_config_loads_and_says_how_to_use_it(path: Path) -> None:
    assert (load_config(path, {}) == Config()) == (path.stem == "balanced")
    header = [line for line in path.read_text().splitlines()[:3] if line.startswith("#")]
    assert any(f"--config configs/{path.name}" in line for line in header)


def test_presets_ship_and_state_the_same_settings_so_that_each_leads_back() -> None:
    stated = {}
    for name in PRESETS:
        path, overrides = with_preset(name, None, {"threads": 1})
        assert path is not None and overrides == {"threads": 1}
        judged = load_yaml(path)["decide"]
        assert load_yaml(path).keys() == {"decide"}, "relabel takes them"
        stated[name] = {group: frozenset(values) for group, values in judged.items()}
    assert stated["strict"] == stated["balanced"] == stated["recall"]
    recall = load_config(ROOT / "configs" / "recall.yaml", {})
    assert recall.decide.judge.min_score == Config().observe.min_score  # none lower was seen


def test_a_file_wins_over_a_preset_and_an_option_over_both(tmp_path: Path) -> None:
    mine = written(tmp_path, "decide: {judge: {min_score: 0.5, review_stability: 0.95}}")
    option = {"decide": {"judge": {"min_score": 0.6}}}
    judge = load_config(*with_preset("strict", mine, option)).decide.judge
    assert (judge.min_score, judge.review_stability, judge.review_box_iou) == (0.6, 0.95, 0.75)
    assert with_preset("", mine, option) == (mine, option)


def test_a_fault_is_told_by_the_name_of_its_own_file(tmp_path: Path) -> None:
    mine = written(tmp_path, "decide: {juge: {}}")
    with pytest.raises(RequestError, match=mine.name):
        with_preset("strict", mine, {})
    with pytest.raises(RequestError, match="expected one of strict, balanced, recall"):
        with_preset("lax", None, {})


def test_the_strict_config_is_stricter_than_the_default() -> None:
    strict = load_config(ROOT / "configs" / "strict.yaml", {}).decide.judge
    default = Config().decide.judge
    for name in type(strict).model_fields:
        ours, theirs = getattr(strict, name), getattr(default, name)
        assert ours < theirs if name.endswith("outside_share") else ours > theirs, name


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("observ: {}", "observ"),
        ("decide: {judge: {min_scor: 0.5}}", "decide.judge.min_scor"),
        ("observe: {devices: cpu}", "observe.devices"),
        ("observe: {min_score: high}", "observe.min_score"),
        ("observe: {min_score: 1.5}", "observe.min_score"),
        ("observe: {min_score: .nan}", "observe.min_score"),
        ("decide: {judge: {review_predicted_iou: .nan}}", "decide.judge.review_predicted_iou"),
        ("decide: {judge: {review_predicted_iou: .inf}}", "decide.judge.review_predicted_iou"),
        ("decide: {lift: {min_gap_m: .inf}}", "decide.lift.min_gap_m"),
        ("observe: {prompt_chunk: 0}", "observe.prompt_chunk"),
        ("shard_size: 0", "shard_size"),
        ("shard_size: 1.5", "shard_size"),
        ("decide:", "decide"),
        ("decide: 3", "decide"),
    ],
)
def test_what_is_unknown_or_out_of_range_is_refused_by_its_key(
    tmp_path: Path, text: str, key: str
) -> None:
    error = refused(tmp_path, text)
    assert error.code == "config.invalid"
    assert f" {key}: " in error.message


@pytest.mark.parametrize("text", ["- 1\n- 2", "just text", "3", "a: [", "a: b: c", "\t- x", "\x00"])
def test_what_is_no_mapping_or_no_yaml_is_refused(tmp_path: Path, text: str) -> None:
    assert refused(tmp_path, text).code == "config.invalid"


@pytest.mark.parametrize("text", ["a: 2020-13-45", "a: " + "9" * 10000, "? [1, 2]\n: x"])
def test_yaml_that_python_cannot_hold_is_refused(tmp_path: Path, text: str) -> None:
    assert refused(tmp_path, text).code in {"config.invalid", "config.unsafe"}


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "given.yaml"
    path.write_bytes(b"a: \xff\xfe")
    with pytest.raises(RequestError, match=r"config\.invalid"):
        load_yaml(path)


def test_a_score_below_what_was_seen_is_refused() -> None:
    with pytest.raises(RequestError, match=r"min_score 0\.1 is below observe\.min_score 0\.2"):
        load_config(None, {"decide": {"judge": {"min_score": 0.1}}})
    with pytest.raises(RequestError, match="never seen"):
        load_config(None, {"observe": {"min_score": 0.5}})
    assert load_config(None, {"decide": {"judge": {"min_score": 0.2}}}).observe.min_score == 0.2


def test_options_override_the_file_and_the_file_overrides_the_defaults(tmp_path: Path) -> None:
    path = written(tmp_path, "decide: {judge: {min_score: 0.5, review_stability: 0.9}}")
    config = load_config(path, {"decide": {"judge": {"min_score": 0.6}}, "shard_size": 4})
    assert config.decide.judge.min_score == 0.6
    assert config.decide.judge.review_stability == 0.9
    assert config.decide.judge.review_box_iou == Config().decide.judge.review_box_iou
    assert config.shard_size == 4


def test_an_option_that_is_refused_is_called_an_option() -> None:
    with pytest.raises(RequestError, match="options: shard_size: "):
        load_config(None, {"shard_size": "many"})


@pytest.mark.parametrize(
    ("base", "overrides", "expected"),
    [
        ({}, {}, {}),
        ({"a": 1}, {}, {"a": 1}),
        ({}, {"a": {"b": 1}}, {"a": {"b": 1}}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}}, {"a": {"b": 3, "c": 2}}),
        ({"a": {"b": 1}}, {"a": 2}, {"a": 2}),
        ({"a": 2}, {"a": {"b": 1}}, {"a": {"b": 1}}),
    ],
)
def test_merging(base: dict[str, Any], overrides: dict[str, Any], expected: dict[str, Any]) -> None:
    before = repr((base, overrides))
    assert merge(base, overrides) == expected
    assert repr((base, overrides)) == before


def test_a_config_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        Config().shard_size = 3


def test_a_saved_config_is_read_back_equal() -> None:
    config = load_config(None, {"observe": {"threads": 2}})
    assert parse_config(config.model_dump(), "run.json") == config


def python_tags(canary: Path) -> list[str]:
    return [
        f"a: !!python/object/apply:os.system ['touch {canary}']",
        f"a: !!python/object/apply:os.mknod ['{canary}']",
        f"a: !!python/object/new:os.system ['touch {canary}']",
        f"a: !!python/object/apply:subprocess.check_output [[touch, '{canary}']]",
        "a: !!python/name:os.system",
        "a: !!python/module:os",
        "a: !custom x",
    ]


ALIAS_BOMB = "a0: &a0 [x, x]\n" + "".join(
    f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 60)
)


def test_python_tags_are_refused_and_nothing_runs(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    for text in python_tags(canary):
        assert refused(tmp_path, text).code == "config.unsafe", text
    assert not canary.exists()


@pytest.mark.parametrize(
    "text",
    [
        ALIAS_BOMB,
        "a: &x 1\nb: *x",
        "base: &b {shard_size: 3}\n<<: *b",
        "&r [*r]",
        "[" * 100_000,
        "{a: " * 2_000 + "1" + "}" * 2_000,
        "\n".join("  " * i + "a:" for i in range(700)),
        "#" * (MAX_YAML_BYTES + 1),
    ],
    ids=["bomb", "alias", "merge key", "loop", "deep list", "deep map", "deep block", "oversized"],
)
def test_what_blows_up_later_is_refused_now(tmp_path: Path, text: str) -> None:
    assert refused(tmp_path, text).code == "config.unsafe"


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    for path in (tmp_path / "none.yaml", tmp_path):
        with pytest.raises(RequestError, match=r"io\.not_found") as caught:
            load_yaml(path)
        assert os.fspath(path) in caught.value.message
