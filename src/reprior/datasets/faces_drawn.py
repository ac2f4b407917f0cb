"""Portraits drawn from about fifty independent factors: the demo's stand-in for photographs of faces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from reprior.datasets.base import Array, Drawn, edge, glow, paint, ramp
from reprior.seeds import seed_for

FACTORS: dict[str, tuple[float, float]] = {
    # pose
    "yaw": (-1, 1),
    "roll": (-0.16, 0.16),
    "scale": (1.04, 1.2),
    "shift_x": (-0.07, 0.07),
    "shift_y": (0.0, 0.08),
    # person
    "masculine": (0, 1),
    "age": (0, 1),
    "skin": (0, 1),
    "warmth": (-1, 1),
    "blush": (0, 1),
    "face_width": (0.44, 0.51),
    "face_height": (0.63, 0.71),
    "jaw": (0, 1),
    "ears": (0, 1),
    # hair
    "hair_colour": (0, 1),
    "hair_length": (0, 1),
    "hair_volume": (0, 1),
    "hair_curl": (0, 1),
    "fringe": (0, 1),
    "parting": (-1, 1),
    # eyes and brows
    "eye_size": (0, 1),
    "eye_spacing": (0, 1),
    "eye_open": (0, 1),
    "eye_tilt": (-1, 1),
    "iris": (0, 1),
    "gaze": (-1, 1),
    "brow_thickness": (0, 1),
    "brow_angle": (-1, 1),
    "brow_height": (0, 1),
    # nose and mouth
    "nose_length": (0, 1),
    "nose_width": (0, 1),
    "mouth_width": (0, 1),
    "mouth_open": (-0.8, 1),
    "smile": (-0.35, 1),
    "lips": (0, 1),
    "lip_colour": (0, 1),
    # extras
    "glasses": (0, 1),
    "glasses_shape": (0, 1),
    "glasses_colour": (0, 1),
    "beard": (0, 1),
    "moustache": (0, 1),
    # light, background, clothes
    "light_x": (-1, 1),
    "light_y": (-1, 0.2),
    "light": (0.35, 1),
    "back_hue": (0, 1),
    "back_light": (0, 1),
    "back_hue_2": (0, 1),
    "back_turn": (-1, 1),
    "clothes": (0, 1),
    "collar": (0, 1),
    "texture": (0.3, 1),
}
"""Every factor and its range. Each factor is drawn uniformly and independently of the others."""

SKIN = [(0.98, 0.85, 0.76), (0.94, 0.76, 0.64), (0.84, 0.63, 0.48), (0.66, 0.45, 0.32), (0.42, 0.27, 0.19)]
HAIR = [
    (0.07, 0.06, 0.07),
    (0.20, 0.12, 0.08),
    (0.36, 0.21, 0.12),
    (0.50, 0.29, 0.15),
    (0.62, 0.45, 0.27),
    (0.80, 0.67, 0.46),
]
IRIS = [
    (0.20, 0.11, 0.06),
    (0.40, 0.24, 0.11),
    (0.42, 0.45, 0.20),
    (0.28, 0.48, 0.42),
    (0.25, 0.45, 0.70),
    (0.45, 0.55, 0.62),
]
LIPS = [(0.70, 0.42, 0.38), (0.76, 0.38, 0.38), (0.74, 0.24, 0.28), (0.56, 0.16, 0.26)]
FRAME = [(0.06, 0.06, 0.07), (0.32, 0.16, 0.08), (0.62, 0.50, 0.28), (0.55, 0.57, 0.60), (0.60, 0.10, 0.14)]
BACK = [
    (0.80, 0.55, 0.45),
    (0.80, 0.72, 0.48),
    (0.50, 0.66, 0.45),
    (0.42, 0.66, 0.68),
    (0.42, 0.52, 0.74),
    (0.64, 0.50, 0.70),
    (0.62, 0.62, 0.64),
]
CLOTHES = [
    (0.12, 0.14, 0.22),
    (0.20, 0.34, 0.55),
    (0.24, 0.45, 0.36),
    (0.86, 0.85, 0.82),
    (0.78, 0.60, 0.25),
    (0.62, 0.18, 0.20),
    (0.30, 0.20, 0.32),
]

STRANDS = 256
"""Number of knots of the random profile across the hair."""
EYES = slice(12, 50)
"""The rows that eyes and glasses can reach in any pose."""
MOUTH = slice(30, 64)
"""The rows that mouth and beard can reach in any pose."""


class FacesDrawn(Drawn):
    """Portraits of 64 x 64, each drawn from its own seed."""

    def __init__(self, *, size: Literal[64] = 64, split: Literal["train", "test"] = "test") -> None:
        super().__init__(split, size)

    def factors(self, ids: Sequence[str]) -> dict[str, Array]:
        """The factors of each image, by name: arrays [N]."""
        low, high = np.array(list(FACTORS.values()), np.float32).T
        table = np.stack([low + (high - low) * self._rng(name, "factors").random(len(low), np.float32) for name in ids])
        return {name: table[:, k] for k, name in enumerate(FACTORS)}

    def grain(self, ids: Sequence[str]) -> tuple[Array, Array]:
        """Fine detail of each image in [-1, 1]: of the skin [N, H, W] and of strands of hair [N, STRANDS]."""
        _, height, width = self.image_shape
        count = height * width
        raw = np.stack([self._rng(name, "grain").random(count + STRANDS, np.float32) for name in ids]) * 2 - 1
        return raw[:, :count].reshape(-1, height, width), raw[:, count:]

    def draw(self, ids: Sequence[str]) -> Array:
        """Draws a few portraits [N, 3, H, W]."""
        return portrait(self.factors(ids), *self.grain(ids))

    def _rng(self, name: str, role: str) -> np.random.Generator:
        return np.random.Generator(np.random.PCG64(seed_for("faces-drawn", self.split, name, role)))


@dataclass
class Sitter:
    """Shared by all layers of a batch: planes [N, H, W], factors and the head's half-axes a, b [N, 1, 1].

    x and y are pixel positions in the head's own frame, and `soft` is a pixel's width there. front_x is x turned with
    the yaw. The image is [N, 3, H, W]; colours are [N, 3, 1, 1].
    """

    f: dict[str, Array]
    image: Array
    x: Array
    y: Array
    front_x: Array
    soft: Array
    a: Array
    b: Array
    skin: Array
    hair: Array
    head: Array
    shade: Array
    grain: Array
    strand: Array

    def rows(self, part: slice) -> tuple[Array, Array, Array]:
        """The image, the face's x (turned with the head) and y, on a band of rows."""
        return self.image[:, :, part], self.front_x[:, part], self.y[:, part]


def portrait(factors: Mapping[str, Array], grain: Array, strands: Array) -> Array:
    """Portraits [N, 3, H, W] in [0, 1] from factors [N], grain [N, H, W] and strands [N, STRANDS]."""
    s = _pose({name: value.astype(np.float32)[:, None, None] for name, value in factors.items()}, grain, strands)
    _background(s)
    outer, opening = _hair_shapes(s)
    _back_hair(s, outer)
    _neck_and_clothes(s)
    _ears(s)
    _skin(s)
    _nose(s)
    _beard(s)
    _mouth(s)
    _eyes(s)
    _brows(s)
    _front_hair(s, outer, opening)
    _glasses(s)
    s.image += s.grain[:, None] * (0.014 * s.f["texture"])[:, None]
    return np.clip(s.image, 0, 1, out=s.image)


def _pose(f: dict[str, Array], grain: Array, strands: Array) -> Sitter:
    """Where each pixel is on the sitter, and the colours and shading that several layers use."""
    count, size, _ = grain.shape
    axis = (np.arange(size, dtype=np.float32) + 0.5) * np.float32(2 / size) - 1
    u, v = axis - f["shift_x"], axis[:, None] - f["shift_y"]
    # cos and sin from the tangent of half the angle: the rounding of library functions could depend on the batch
    half = f["roll"] * 0.5
    cos, sin = (1 - half * half) / (1 + half * half), 2 * half / (1 + half * half)
    x, y = (u * cos + v * sin) / f["scale"], (v * cos - u * sin) / f["scale"]
    a, b = f["face_width"] + 0.015 * f["masculine"], f["face_height"]
    across = x / a
    front_x = x - f["yaw"] * 0.11 * np.maximum(1 - across * across, -0.5)
    soft = (2.2 / size) / f["scale"]
    skin = ramp(SKIN, f["skin"]) * (1 + _rgb(0.02, 0, -0.05) * f["warmth"][:, None])
    grey = np.maximum(f["age"] - 0.68, 0)[:, None] * 2.4
    hair = ramp(HAIR, f["hair_colour"])
    hair = hair + grey * (0.68 - hair)
    head, shade = _head(f, a, x, y, soft)
    strand = _strand(f, x, y, strands)
    image = np.empty((count, 3, size, size), np.float32)
    return Sitter(f, image, x, y, front_x, soft, a, b, skin, hair, head, shade, grain, strand)


def _rgb(red: float, green: float, blue: float) -> Array:
    return np.array([red, green, blue], np.float32)[:, None, None]


def _head(f: dict[str, Array], a: Array, x: Array, y: Array, soft: Array) -> tuple[Array, Array]:
    """Coverage of the head, and its shading as that of a lit egg."""
    b = f["face_height"]
    down = np.maximum(y, 0) / b
    square = 0.6 * f["jaw"] + 0.4 * f["masculine"]
    nx, ny = x / (a * (1 - (0.30 - 0.22 * square) * down * down)), y / b
    nx2, ny2 = nx * nx, ny * ny
    oval, box = np.sqrt(nx2 + ny2), np.sqrt(np.sqrt(nx2 * nx2 + ny2 * ny2))
    radius = oval + (0.12 + 0.3 * square) * (down > 0) * (box - oval)
    nz = np.sqrt(np.maximum(1 - radius * radius, 0.02))
    shade = 0.62 + f["light"] * (0.34 * f["light_x"] * nx + 0.22 * f["light_y"] * ny) + 0.42 * nz
    return edge((1 - radius) * a, soft), shade


def _strand(f: dict[str, Array], x: Array, y: Array, strands: Array) -> Array:
    """Texture of the hair [N, H, W]: a random profile across strands that run from the crown downwards."""
    fall = np.minimum(np.maximum(y + f["face_height"] + 0.35, 0.2), 1.1)
    at = (x - 0.2 * f["parting"] * (y < 0)) / fall
    at = at + 0.05 * f["hair_curl"] * (np.abs((y * 5) % 2 - 1) - 0.5)
    at = np.minimum(np.maximum(at * 20 + STRANDS / 2, 0), STRANDS - 2)
    low = at.astype(np.int32)
    flat = low + (np.arange(len(low), dtype=np.int32) * STRANDS)[:, None, None]
    left, right = strands.reshape(-1).take(flat), strands.reshape(-1).take(flat + 1)
    return left + (at - low.astype(np.float32)) * (right - left)


def _background(s: Sitter) -> None:
    f = s.f
    axis = np.linspace(-1, 1, s.x.shape[-1], dtype=np.float32)
    t = 0.5 + 0.33 * (axis * f["back_turn"] + axis[:, None] * (1 - np.abs(f["back_turn"])))
    level = (0.35 + 0.75 * f["back_light"])[:, None]
    first, second = ramp(BACK, f["back_hue"]) * level, ramp(BACK, f["back_hue_2"]) * level * 0.7
    s.image[:] = first + t[:, None] * (second - first)


def _hair_shapes(s: Sitter) -> tuple[Array, Array]:
    """Coverage of the whole head of hair, and of the opening in it that shows the face."""
    f = s.f
    volume = 0.05 + 0.11 * f["hair_volume"] - 0.03 * f["masculine"]
    x, y = s.x - 0.03 * f["yaw"], s.y + 0.06
    a, b = s.a + 0.75 * volume, s.b - 0.04 + volume
    up, down = np.minimum(y, 0) / b, np.maximum(y, 0)
    length = _hair_length(f)
    wide = a * (1 + 0.18 * np.minimum(length, 0.8) * down)
    across = x / wide
    wobble = s.strand * (0.035 * f["hair_curl"])
    outer = (1 - np.sqrt(across * across + up * up)) * a + wobble
    ends = length - s.y - np.maximum(np.abs(s.x) - 0.8 * s.a, 0) * (1.6 - 1.4 * np.minimum(np.maximum(length, 0), 1))
    outer = np.minimum(outer, ends + wobble)
    balding = np.maximum(f["age"] + f["masculine"] - 1.45, 0) * 1.1
    top = -s.b * (0.80 - 0.40 * f["fringe"]) - balding
    swept = 0.1 * f["parting"] * np.minimum(1, 1.2 - 0.5 * f["fringe"])
    ox = (s.x - swept * np.minimum(np.maximum(0.1 - s.y, 0) * 4, 1)) / (s.a * 0.94)
    oy = np.minimum(s.y - 0.1, 0) / (top - 0.1)
    opening = (1 - np.sqrt(ox * ox + oy * oy)) * s.a + s.strand * (0.012 + 0.03 * f["fringe"])
    return edge(outer, s.soft * 1.2), edge(opening, s.soft * 1.4)


def _hair_length(f: dict[str, Array]) -> Array:
    """The y at which hair ends: above the ears to below the shoulders."""
    reach = np.maximum(f["hair_length"] - 0.55 * f["masculine"], 0)
    return -0.12 + 1.6 * reach


def _hair_colour(s: Sitter, base: float) -> Array:
    """Hair [N, 3, H, W] with strands and a band of light across the crown."""
    f = s.f
    lx = s.x - 0.3 * f["light_x"]
    ly = (s.y + s.b * 0.72) * 2.6
    band = glow(lx * lx * 5 + ly * ly * 3) * f["light"]
    tone = base * (1 + 0.26 * f["texture"] * s.strand) + 0.12 * f["light_x"] * f["light"] * s.x
    gleam = 0.2 * band * (1 + 0.7 * s.strand)
    return s.hair * (tone + gleam)[:, None] + (0.35 * gleam)[:, None]


def _back_hair(s: Sitter, outer: Array) -> None:
    paint(s.image, _hair_colour(s, 0.62), outer)


def _neck_and_clothes(s: Sitter) -> None:
    f = s.f
    part = slice(36, 64)
    image, x, y = s.image[:, :, part], s.x[:, part], s.y[:, part]
    thick = 0.235 + 0.07 * f["masculine"]
    below = y - s.b
    neck = edge(thick + 0.06 * np.maximum(below, 0) - np.abs(x), s.soft)
    lit = 0.62 + 0.16 * f["light"] * f["light_x"] * x + 0.5 * np.minimum(np.maximum(below, 0), 0.3)
    paint(image, s.skin * lit[:, None], neck * (y > 0.2))
    slope = s.b + 0.14 + (0.34 - 0.1 * f["masculine"]) * x * x
    neckline = (0.02 + 0.2 * f["collar"]) * np.maximum(1 - x * x * 9, 0)
    d = y - slope - neckline
    fold = 0.9 + 0.2 * f["light"] * f["light_x"] * x - 0.25 * glow((d - 0.02) * (d - 0.02) * 900)
    paint(image, ramp(CLOTHES, f["clothes"]) * fold[:, None], edge(d, s.soft))


def _ears(s: Sitter) -> None:
    f = s.f
    part = slice(18, 48)
    image, x, y = s.image[:, :, part], s.x[:, part], s.y[:, part]
    size = 0.7 + 0.4 * f["ears"]
    ex, ey = (np.abs(x + 0.05 * f["yaw"]) - s.a - 0.01) / (0.075 * size), (y - 0.02) / (0.14 * size)
    r = np.sqrt(ex * ex + ey * ey)
    lit = 0.78 + 0.16 * f["light"] * f["light_x"] * x - 0.25 * glow(ex * ex * 3 + ey * ey * 3)
    paint(image, s.skin * lit[:, None], edge((1 - r) * 0.1, s.soft))


def _skin(s: Sitter) -> None:
    f = s.f
    x, y = s.front_x, s.y
    side = np.abs(x)
    cx, cy = (side - 0.27) * 6, (y - 0.16) * 6.5
    cheek = glow(cx * cx + cy * cy)
    ex, ey = (side - 0.2) * 5.5, (y + 0.1) * 8
    socket = glow(ex * ex + ey * ey)
    chin_y = (y - s.b * 0.84) * 9
    chin = glow(x * x * 40 + chin_y * chin_y)
    tone = s.shade + 0.07 * cheek - 0.16 * socket + 0.04 * chin
    line = side - 0.155 - 0.22 * np.maximum(y - 0.16, 0)
    fold = glow(line * line * 1800) * edge(0.14 - np.abs(y - 0.27), 0.14)
    tone -= (0.03 + 0.16 * np.maximum(f["age"] - 0.3, 0)) * fold
    bag = y - 0.06 + 0.9 * (side - 0.2) * (side - 0.2)
    tone -= 0.13 * f["age"] * glow(bag * bag * 1500) * edge(0.11 - np.abs(side - 0.2), 0.1)
    tone += 0.025 * f["texture"] * s.grain
    warm = (0.35 * f["blush"] * cheek)[:, None] * _rgb(0.10, -0.16, -0.12)
    # Shadows on skin turn red, not grey.
    tint = _rgb(0.85, 1.03, 1.12)
    colour = s.skin * (1 + (tone - 1)[:, None] * tint + warm)
    paint(s.image, colour, s.head)


def _nose(s: Sitter) -> None:
    f = s.f
    part = slice(16, 50)
    image, x, y = s.rows(part)
    tip = 0.12 + 0.09 * f["nose_length"]
    wide = 0.07 + 0.05 * f["nose_width"]
    lean = x - 0.05 * f["yaw"] * edge(y - tip * 0.5, 0.3)
    along = np.minimum(np.maximum((y + 0.12) / (tip + 0.12), 0), 1) * edge(tip + 0.05 - y, 0.12)
    flank = lean / (0.035 + wide * 0.75 * along)
    hump = glow(flank * flank) * along
    lit = hump * (0.30 * f["light"] * f["light_x"] * flank + 0.05)
    by = (y - tip) * 13
    ball = lean / wide
    bulb = 0.10 * glow(ball * ball * 2 + (by + 0.6) * (by + 0.6))
    under = -0.22 * glow(ball * ball * 0.8 + (by - 0.75) * (by - 0.75) * 4)
    image *= 1 + (lit + bulb + under)[:, None] * s.head[:, part][:, None]
    nx, ny = (np.abs(lean) - wide * 0.58) / (0.5 * wide), (y - tip - 0.025) / 0.03
    nostril = edge((1 - np.sqrt(nx * nx + ny * ny)) * 0.03, s.soft) * 0.6
    paint(image, s.skin * 0.38, nostril)
    wing = np.abs(np.abs(lean) - wide * 1.05) * 30
    wy = (y - tip) * 16
    paint(image, s.skin * 0.55, 0.4 * glow(wing * wing + wy * wy))


def _mouth_line(s: Sitter, x: Array) -> tuple[Array, Array, Array]:
    """Half-width of the mouth, the square of the relative position across it, and its height."""
    f = s.f
    half = 0.145 + 0.06 * f["mouth_width"] + 0.03 * np.maximum(f["smile"], 0)
    q = x / half
    q = q * q
    return half, q, 0.355 + 0.02 * f["nose_length"] - 0.055 * f["smile"] * (q - 0.4)


def _mouth(s: Sitter) -> None:
    f = s.f
    image, x, y = s.rows(MOUTH)
    x = x - 0.02 * f["yaw"]
    half, q, line = _mouth_line(s, x)
    arch = np.maximum(1 - q, -1)
    gap = 0.07 * np.maximum(f["mouth_open"], 0)
    full = 0.022 + 0.03 * f["lips"] + 0.008 * (1 - f["masculine"])
    v = y - line
    bow = full * (arch - 0.35 * np.maximum(1 - q * 14, 0))
    lower = gap * arch * 1.3 + full * 1.25 * arch
    lips = np.minimum(v + bow + gap * 0.4 * arch, lower - v)
    rouge = (1 - f["masculine"]) * 0.75 + 0.25
    natural = s.skin * _rgb(0.84, 0.62, 0.62)
    stick = ramp(LIPS, f["lip_colour"]) * (1.05 - 0.4 * f["skin"])[:, None]
    colour = natural + (0.8 * rouge)[:, None] * (stick - natural)
    gx, gy = (x - 0.06 * f["light_x"]) * 9, (v - lower * 0.62) * 45
    tone = 0.88 + 0.12 * edge(v, 0.05) + 0.28 * glow(gx * gx + gy * gy)
    paint(image, colour * tone[:, None], edge(lips, s.soft))
    inner = np.minimum(v + gap * 0.4 * arch, gap * 1.3 * arch - v)
    ends = edge(1.12 - q, 0.3)
    inside = edge(inner, s.soft) * ends * np.minimum(gap * 60, 1)
    teeth = np.minimum(inner, 0.045 - np.abs(v - 0.012) - gap * 0.15)
    paint(image, _rgb(0.25, 0.08, 0.09), inside)
    paint(image, _rgb(0.93, 0.91, 0.87), edge(teeth, s.soft) * inside)
    seam = v * 55
    paint(image, colour * 0.4, 0.75 * glow(seam * seam) * ends * (1 - inside))
    below = (v - lower - 0.05) * 22
    image *= 1 - (0.14 * glow(q * 2.5 + below * below))[:, None]


def _beard(s: Sitter) -> None:
    f = s.f
    image, x, y = s.rows(MOUTH)
    male = np.maximum(f["masculine"] - 0.45, 0) * (1 / 0.55)
    male = np.minimum(male * 3, 1)
    amount = male * np.minimum(np.maximum(f["beard"] - 0.45, 0) * 2.6, 1)
    half, q, line = _mouth_line(s, x)
    cheek = y - 0.42 + 0.62 * np.maximum(np.abs(x) - 0.12, 0)
    clear = np.sqrt(q * 0.55 + (y - line) * (y - line) * 160) - 1
    noise = s.strand[:, MOUTH] * 0.5 + s.grain[:, MOUTH] * 0.5
    cover = edge(np.minimum(cheek, clear * 0.1) + 0.03 * noise, 0.09) * s.head[:, MOUTH]
    colour = s.hair * (0.78 * (1 + 0.35 * noise) * (0.4 + 0.6 * s.shade[:, MOUTH]))[:, None]
    paint(image, colour, cover * amount * 0.9)
    tache = male * np.minimum(np.maximum(f["moustache"] - 0.5, 0) * 4, 1)
    bend = y - line + 0.062 - 0.05 * q
    hairs = np.minimum(0.034 - np.abs(bend), (1.25 - q) * 0.08) + 0.01 * noise
    paint(image, colour, edge(hairs, s.soft * 1.6) * tache * 0.92)


def _eyes(s: Sitter) -> None:
    f = s.f
    image, x, y = s.rows(EYES)
    side = np.where(x < 0, np.float32(-1), np.float32(1))
    wide = 0.112 + 0.03 * f["eye_size"]
    ex = x * side - 0.205 - 0.03 * f["eye_spacing"]
    ey = y + 0.05 + 0.12 * f["eye_tilt"] * ex
    q = ex / wide
    arch = 1 - q * q
    openness = 0.65 + 0.45 * f["eye_open"]
    up = (0.062 + 0.014 * f["eye_size"]) * openness * arch + ey
    low = 0.045 * openness * arch - ey
    ball = edge(np.minimum(up, low), s.soft)
    white = 0.95 - 0.22 * edge(0.03 - up, 0.06) - 0.12 * q * q
    paint(image, _rgb(0.96, 0.95, 0.94) * white[:, None], ball)
    ix, iy = ex * side - 0.035 * f["gaze"] - 0.01 * f["yaw"], ey + 0.008
    r = np.sqrt(ix * ix + iy * iy)
    size = 0.062 + 0.008 * f["eye_size"]
    iris = ramp(IRIS, f["iris"]) * (0.75 + 0.6 * np.maximum(iy, -0.02) * 14)[:, None]
    paint(image, iris, edge(size - r, s.soft) * ball)
    paint(image, np.array(0.04, np.float32), edge(0.028 - r, s.soft) * ball)
    hx, hy = ix - 0.025 * f["light_x"], iy + 0.025
    paint(image, np.array(0.98, np.float32), 0.9 * edge(0.018 - np.sqrt(hx * hx + hy * hy), s.soft) * ball)
    lash = 0.012 + 0.012 * (1 - f["masculine"])
    ends = edge((1.12 - np.abs(q)) * wide, s.soft)
    dark = 0.5 * s.skin * 0.4 + 0.5 * s.hair * 0.4
    paint(image, dark, edge(lash - np.abs(up - 0.004), s.soft) * ends)
    paint(image, s.skin * 0.5, 0.35 * edge(0.006 - np.abs(low), s.soft) * ends)
    crease = up - 0.05
    paint(image, s.skin * 0.55, 0.4 * glow(crease * crease * 6000) * ends)


def _brows(s: Sitter) -> None:
    f = s.f
    image, x, y = s.rows(slice(8, 40))
    bx = np.abs(x) - 0.215 - 0.02 * f["eye_spacing"]
    q = bx / 0.155
    by = y + 0.185 + 0.055 * f["brow_height"] + 0.14 * f["brow_angle"] * bx - 1.5 * bx * bx
    thick = (0.014 + 0.02 * f["brow_thickness"] + 0.01 * f["masculine"]) * np.maximum(1.15 - 0.35 * q, 0.4)
    d = thick * np.maximum(1 - q * q * q * q, -6) - np.abs(by)
    hairs = 0.85 + 0.25 * s.grain[:, 8:40]
    paint(image, s.hair * 0.55 + s.skin * 0.1, 0.88 * edge(d, s.soft * 1.2) * hairs)


def _front_hair(s: Sitter, outer: Array, opening: Array) -> None:
    cover = outer * (1 - opening)
    paint(s.image, _hair_colour(s, 1.0), cover)


def _glasses(s: Sitter) -> None:
    f = s.f
    worn = edge(f["glasses"] - 0.75, 0.04)
    image, x, y = s.rows(EYES)
    gx, gy = (np.abs(x) - 0.225) / 0.175, (y + 0.035) / (0.135 + 0.02 * f["eye_size"])
    gx2, gy2 = gx * gx, gy * gy
    oval = np.sqrt(gx2 + gy2)
    box = np.sqrt(np.sqrt(gx2 * gx2 + gy2 * gy2))
    d = (1 - oval - f["glasses_shape"] * (box - oval)) * 0.15
    rim = 0.017 - np.abs(d)
    bridge = np.minimum(0.014 - np.abs(y + 0.06 - 1.2 * x * x), 0.06 - np.abs(x))
    arm = np.minimum(0.013 - np.abs(y + 0.07), np.minimum(np.abs(x) - 0.39, s.a - np.abs(s.x[:, EYES])))
    frame = np.maximum(np.maximum(rim, bridge), arm)
    glare = (x * 0.7 + y) * 9
    paint(image, np.array(1.0, np.float32), edge(d, s.soft) * worn * (0.05 + 0.16 * glow(glare * glare * 4)))
    paint(image, ramp(FRAME, f["glasses_colour"]), edge(frame, s.soft) * worn)
