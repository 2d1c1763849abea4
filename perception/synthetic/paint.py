"""The picture: colours from what each pixel's ray met. Truth does not depend on anything here."""

from functools import cache

import cv2
import numpy as np

from perception.core.types import Bool, Float32, Int32, UInt8
from perception.synthetic.constants import LOOK, STREET
from perception.synthetic.meshes import Material
from perception.synthetic.stage import Movers, Stage, blocked
from perception.synthetic.world import World

TILE = 256
LIFT_M = 0.02  # shadow rays start this far off a face
LINE_M = 0.07  # half width of a lane marking
SKY_HIGH, SKY_LOW, CLOUD = (0.24, 0.40, 0.66), (0.60, 0.68, 0.76), (0.80, 0.81, 0.82)
WARM, BLUE = (1.0, 0.95, 0.86), (0.88, 0.95, 1.06)
Rows = np.ndarray[tuple[int], np.dtype[np.intp]]


@cache
def _tiles() -> tuple[Float32, Float32]:
    """Return fine and coarse noise, tiling, about 0 with deviation 1."""
    rng = np.random.default_rng(7)
    fine = rng.standard_normal((TILE, TILE)).astype(np.float32)
    coarse = cv2.GaussianBlur(np.tile(fine, (3, 3)), (0, 0), 5)[TILE : 2 * TILE, TILE : 2 * TILE]
    return fine, np.asarray(coarse / coarse.std(), np.float32)


def _noise(tile: Float32, a: Float32, b: Float32) -> Float32:
    i = a.astype(np.int32) & (TILE - 1)
    j = b.astype(np.int32) & (TILE - 1)
    return np.asarray(tile[i, j], np.float32)


def _thrice(values: Float32) -> Float32:
    """Return each of (N,) values for three channels; `np.repeat` takes three times as long."""
    return np.asarray(cv2.merge((values, values, values)), np.float32)


@cache
def _grain(size_hw: tuple[int, int]) -> Float32:
    """Return sensor noise of deviation 1, a little larger than a picture."""
    rng = np.random.default_rng(11)
    return rng.standard_normal((size_hw[0] + TILE, size_hw[1] + TILE, 3), dtype=np.float32)


class Painter:
    """Paints the pictures of a scene: the light on a flat face is the same in every frame."""

    def __init__(self, stage: Stage) -> None:
        light = stage.world.light
        self._stage = stage
        faces = stage.faces
        overcast = light.sun_strength == 0
        ambient = np.float32(LOOK.ambient * (1.9 if overcast else 1.0) * light.exposure)
        up = (ambient * (0.62 + 0.38 * faces.normals[:, 2]))[:, None]
        sky_light = np.asarray(up * np.array(BLUE, np.float32), np.float32)
        facing = np.maximum(faces.normals @ light.sun.astype(np.float32), 0)
        strength = (facing * np.float32(light.sun_strength * light.exposure))[:, None]
        sun_light = np.asarray(strength * np.array(WARM, np.float32), np.float32)
        self._sunny = sun_light[:, 0] > 0
        self._lights = np.concatenate([sky_light, sky_light + sun_light])  # in shade, in the sun
        self._haze = np.array(SKY_LOW, np.float32) * np.float32(light.exposure)

    def __call__(
        self,
        movers: Movers,
        rays: Float32,
        depth_m: Float32,
        face: Int32,
        size_hw: tuple[int, int],
        rng: np.random.Generator,
    ) -> UInt8:
        """Return the (H, W, 3) picture.

        Args:
            movers: Where the moving things are.
            rays: (H * W, 6) rays of the pixels from one origin; directions have depth 1.
            depth_m: (H * W,) depth of the hits, inf for the sky.
            face: (H * W,) face met, -1 for the sky.
            size_hw: Height and width.
            rng: For the sensor's noise.
        """
        faces = self._stage.faces
        free = face < 0
        near_m = np.where(free, np.float32(1e4), depth_m)
        # rows of the picture, not pixels of three: numpy is slow on short inner axes
        place = np.ascontiguousarray(rays[:, 3:])
        rows = place.reshape(size_hw[0], -1)
        rows *= _thrice(near_m).reshape(rows.shape)
        rows += np.tile(rays[0, :3], size_hw[1])
        kind = faces.materials[face]
        colour = np.take(faces.colours, face, axis=0, mode="wrap")
        _texture(self._stage.world, colour, kind, place, face, faces.normals, near_m)
        lit = self._lit(movers, place, face, size_hw)
        colour *= np.take(self._lights, face + lit * len(faces.ids), axis=0, mode="wrap")
        _shine(colour, np.flatnonzero(faces.ids[face] > 0), kind, faces.normals, face, rays)
        clear = np.exp(near_m * np.float32(-1 / self._stage.world.light.haze_m))
        lines, haze = colour.reshape(size_hw[0], -1), np.tile(self._haze, size_hw[1])
        lines -= haze
        lines *= _thrice(clear).reshape(lines.shape)
        lines += haze
        sky = np.flatnonzero(free)
        exposure = np.float32(self._stage.world.light.exposure)
        colour[sky] = _sky(self._stage.world, rays[sky, 3:]) * exposure
        return _develop(colour.reshape(*size_hw, 3), self._stage.world.light.noise, rng)

    def _lit(self, movers: Movers, place: Float32, face: Int32, size_hw: tuple[int, int]) -> Bool:
        """Say which pixels the sun reaches; on scenery one pixel in four is asked."""
        faces = self._stage.faces
        sunny = self._sunny[face]
        asked = (faces.ids[face] > 0).reshape(size_hw)
        asked[::2, ::2] = True
        bright = np.flatnonzero(asked.ravel() & sunny)
        rays = np.empty((len(bright), 6), np.float32)
        rays[:, :3] = place[bright] + faces.normals[face[bright]] * np.float32(LIFT_M)
        rays[:, 3:] = self._stage.world.light.sun
        lit = np.zeros(size_hw, bool)
        lit.ravel()[bright[~blocked(self._stage, movers, rays)]] = True
        spread = np.repeat(np.repeat(lit[::2, ::2], 2, axis=0), 2, axis=1)
        result = np.where(asked, lit, spread[: size_hw[0], : size_hw[1]])
        return np.asarray(result.ravel() & sunny, bool)


def _sky(world: World, direction: Float32) -> Float32:
    flat = np.hypot(direction[:, 0], direction[:, 1]) + np.float32(1e-6)
    up = np.clip(direction[:, 2] / flat, 0, 1)
    mix = np.minimum(up * 1.6, 1.0)[:, None]
    sky = np.array(SKY_LOW, np.float32) * (1 - mix) + np.array(SKY_HIGH, np.float32) * mix
    _, coarse = _tiles()
    a, b = 18 * direction[:, 0] / (up + 0.15), 18 * direction[:, 1] / (up + 0.15)
    shift = np.float32(37 * world.seed[0] % TILE + 11 * world.seed[1])
    cloudy = 0.9 if world.light.sun_strength == 0 else 0.25
    cover = np.clip(0.35 * _noise(coarse, a + shift, b) + cloudy, 0, 1)[:, None]
    return np.asarray(sky * (1 - cover) + np.array(CLOUD, np.float32) * cover, np.float32)


def _texture(
    world: World,
    colour: Float32,
    kind: UInt8,
    place: Float32,
    face: Int32,
    normals: Float32,
    depth_m: Float32,
) -> None:
    """Vary the albedo by place: asphalt, markings, walls with windows, leaves."""
    fine, coarse = _tiles()
    shade_of = np.ones(len(kind), np.float32)
    flat = np.flatnonzero(((kind == Material.ROAD) | (kind == Material.PAVING)) & (depth_m < 1e4))
    x, y = np.ascontiguousarray(place[flat, 0]), np.ascontiguousarray(place[flat, 1])
    fade = np.clip(14 / depth_m[flat], 0.15, 1)
    grain = 0.16 * fade * _noise(fine, x * 24, y * 24) + 0.09 * _noise(coarse, x * 5, y * 5)
    shade = np.maximum(1 + grain, 0.3)
    shade[(kind[flat] == Material.ROAD) & _marked(world, x, y)] = 4.5  # white paint
    shade_of[flat] = shade
    wall = np.flatnonzero(kind == Material.WALL)
    sideways = np.abs(normals[:, 0])[face[wall]] > 0.5
    along = np.where(sideways, place[wall, 1], place[wall, 0])
    _facade(colour, shade_of, wall, along, place[wall, 2], np.clip(14 / depth_m[wall], 0.15, 1))
    soft = np.flatnonzero((kind == Material.LEAF) | (kind == Material.GRASS))
    a, b = place[soft, 0] * 9 + place[soft, 2] * 7, place[soft, 1] * 9
    grain = (0.16 + 0.24 * np.clip(14 / depth_m[soft], 0, 1)) * _noise(fine, a, b)
    shade_of[soft] = np.maximum(1 + grain, 0.25)
    colour *= _thrice(shade_of).reshape(colour.shape)


def _marked(world: World, x: Float32, y: Float32) -> Bool:
    """Return which places on the road are painted: lines, and crossings before side streets."""
    on = np.zeros(len(x), bool)
    dash = np.mod(x, np.float32(9)) < 3.5
    for line_y, dashed in world.lines:
        near = np.abs(y - np.float32(line_y)) < LINE_M
        on |= near & dash if dashed else near
    middles = np.array(world.junctions_x_m or (1e6,), np.float32)
    after = np.clip(np.searchsorted(middles, x), 1, max(len(middles) - 1, 1))
    after = np.minimum(after, len(middles) - 1)
    away = np.minimum(np.abs(x - middles[after]), np.abs(x - middles[after - 1]))
    half = STREET.side_street_m / 2
    on &= away > half
    on |= (away > half + 0.5) & (away < half + 3.0) & (np.mod(y, np.float32(1)) < 0.5)
    right, left = world.kerbs_y_m
    return np.asarray(on & (y > right) & (y < left))


def _facade(
    colour: Float32, shade_of: Float32, rows: Rows, along: Float32, up: Float32, fade: Float32
) -> None:
    """Brick noise, window panes with frames, a darker base; `colour` is yet to be shaded."""
    fine, coarse = _tiles()
    grain = 0.10 * fade * _noise(fine, along * 14, up * 14)
    grain += 0.06 * _noise(coarse, along * 3, up * 3)
    storey = np.float32(STREET.storey_m)
    s, z = np.mod(along, np.float32(2.7)), np.mod(up, storey)
    frame = (np.abs(s - 1.375) < 0.625) & (np.abs(z - 1.65) < 0.8)
    shade = np.where(up < 0.5, np.float32(0.6), np.maximum(1 + grain, 0.3))
    framed = np.flatnonzero(frame)
    shade[framed] = 1
    shade_of[rows] = shade
    across, high = np.abs(s[framed] - 1.375), np.abs(z[framed] - 1.65)
    pane = (across < 0.535) & (high < 0.71) & (across > 0.04)
    colour[rows[framed[~pane]]] = (0.62, 0.61, 0.58)
    chosen = framed[pane]
    cell = _noise(fine, along[chosen] / np.float32(2.7), up[chosen] / storey)
    glow = 0.06 + 0.05 * np.clip(cell, -1, 3)
    colour[rows[chosen]] = glow[:, None] * np.array((0.85, 1.0, 1.15), np.float32)


def _shine(
    lit: Float32, users: Rows, kind: UInt8, normals: Float32, face: Int32, rays: Float32
) -> None:
    """Add the sky that glass and paint of road users mirror; more at a flat angle."""
    for material, base, edge in ((Material.GLASS, 0.06, 0.5), (Material.PAINT, 0.02, 0.25)):
        rows = users[kind[users] == material]
        d = rays[rows, 3:] / np.linalg.norm(rays[rows, 3:], axis=1, keepdims=True)
        normal = normals[face[rows]]
        cosine = np.einsum("ij,ij->i", d, normal)
        mirrored_up = d[:, 2] - 2 * cosine * normal[:, 2]
        seen = np.clip(mirrored_up * 3 + 0.25, 0.08, 1)
        share = (base + edge * (1 - np.abs(cosine)) ** 3) * seen
        lit[rows] += share[:, None] * np.array(SKY_LOW, np.float32)


def _develop(image: Float32, noise: float, rng: np.random.Generator) -> UInt8:
    """Blur, bend by gamma 2 and add the sensor's noise."""
    image = np.asarray(cv2.GaussianBlur(image, (3, 3), LOOK.blur_px), np.float32)
    image *= np.float32(255 * 255)
    np.clip(image, 0, 255 * 255, out=image)
    np.sqrt(image, out=image)
    i, j = rng.integers(TILE, size=2)
    grain = _grain((image.shape[0], image.shape[1]))
    image += grain[i : i + image.shape[0], j : j + image.shape[1]] * np.float32(noise)
    return np.asarray(cv2.convertScaleAbs(np.maximum(image, 0, out=image)), np.uint8)
