"""Bugs caught: open skins, inside-out skins, wrong sizes, shapes off their origin."""

from collections import Counter

import numpy as np
import pytest

from perception.synthetic import casting, meshes, people, scenery, vehicles
from perception.synthetic.meshes import Material, Mesh

GREY = (0.5, 0.5, 0.5)
PALETTE = {Material.PAINT: GREY}
SOLIDS = {
    "box": meshes.box((0, 0, 0), (1, 2, 3), Material.PAINT, PALETTE),
    "tube": meshes.tube([(0, 0, 0), (1, 1, 1)], (0.2, 0.1), Material.PAINT, PALETTE),
    "ellipsoid": meshes.ellipsoid((1, 2, 3), (1, 2, 3), Material.PAINT, PALETTE),
    "hoop": meshes.hoop((0, 0, 1), (0.3, 0.4), 0.1, Material.PAINT, PALETTE),
}
SIZES = {
    "saloon": (vehicles.make_car((4.5, 1.8, 1.45), GREY, saloon=True), (4.5, 1.8, 1.45)),
    "hatchback": (vehicles.make_car((3.9, 1.7, 1.5), GREY, saloon=False), (3.9, 1.7, 1.5)),
    "van": (vehicles.make_van((5.2, 1.9, 2.2), GREY), (5.2, 1.9, 2.2)),
    "truck": (vehicles.make_truck((7.5, 2.4, 3.2), GREY, GREY), (7.5, 2.4, 3.2)),
    "bus": (vehicles.make_bus((11, 2.5, 3.1), GREY), (11, 2.5, 3.1)),
    "pedestrian": (people.make_pedestrian(1.7, 0.8, GREY, GREY, GREY, bag=True), (0, 0, 1.7)),
    "bicyclist": (people.make_bicyclist(1.75, 1.0, GREY, GREY, GREY, GREY), (0, 0, 1.75)),
}


def _edges(mesh: Mesh) -> Counter[tuple[int, int]]:
    return Counter(
        (int(face[i]), int(face[(i + 1) % 3])) for face in mesh.triangles for i in range(3)
    )


@pytest.mark.parametrize("mesh", SOLIDS.values(), ids=SOLIDS)
def test_a_solid_is_closed_and_faces_outwards(mesh: Mesh) -> None:
    edges = _edges(mesh)
    assert set(edges.values()) == {1}
    assert all((b, a) in edges for a, b in edges)
    assert meshes.volume_m3(mesh) > 0


@pytest.mark.parametrize(("mesh", "size"), SIZES.values(), ids=SIZES)
def test_a_road_user_is_closed_has_its_size_and_stands_on_its_origin(
    mesh: Mesh, size: tuple[float, float, float]
) -> None:
    edges = _edges(mesh)
    assert all(edges[(b, a)] == count for (a, b), count in edges.items())
    low, high = mesh.bounds_m
    expected = [side or high[i] - low[i] for i, side in enumerate(size)]
    np.testing.assert_allclose(high - low, expected, atol=1e-5)
    np.testing.assert_allclose((low + high)[:2], 0, atol=1e-5)
    assert abs(low[2]) < 1e-6
    assert len(mesh.triangles) <= 1100


def test_a_box_has_the_volume_of_its_sides_and_upright_normals() -> None:
    mesh = SOLIDS["box"]
    assert meshes.volume_m3(mesh) == pytest.approx(6)
    top = np.isclose(mesh.vertices_m[mesh.triangles][:, :, 2], 3).all(axis=1)
    np.testing.assert_allclose(meshes.normals(mesh)[top], [[0, 0, 1]] * 2, atol=1e-6)


@pytest.mark.parametrize("kind", ["saloon", "hatchback", "van", "truck", "bus"])
def test_vehicles_have_windows_wheels_and_lamps(kind: str) -> None:
    present = set(SIZES[kind][0].materials.tolist())
    assert {Material.GLASS, Material.RUBBER, Material.LAMP, Material.PAINT} <= present


def test_drawn_road_users_are_of_sensible_size() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        kind, mesh = casting.make_vehicle(rng, (0.25, 0.25, 0.25, 0.25))
        low, high = mesh.bounds_m
        assert kind in casting.KINDS
        assert (high - low <= [12.5, 2.6, 3.7]).all() and (high - low >= [3.5, 1.6, 1.4]).all()
        person = casting.make_person(rng, standing=False).bounds_m
        assert 0.99 <= person[1][2] <= 1.99


def test_joining_nothing_is_empty() -> None:
    assert len(meshes.join([]).triangles) == 0


def test_scenery_stands_on_the_ground() -> None:
    rng = np.random.default_rng(0)
    shapes = [
        scenery.make_tree(7.0, rng),
        scenery.make_pole(5.0, 0.1, lamp=True),
        scenery.make_sign(2.5, 1),
        scenery.make_building((10, 8, 9), GREY, GREY, True),
    ]
    for mesh in shapes:
        assert mesh.bounds_m[0][2] == pytest.approx(0, abs=0.05)
        assert meshes.volume_m3(mesh) > 0
