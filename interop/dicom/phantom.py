"""Invented anatomy: slices of a chest in Hounsfield units, drawn with numpy. No patient ever looked like this. Pure."""

from __future__ import annotations

import functools

import numpy as np

AIR, LUNG, FAT, MUSCLE, BLOOD, CONTRAST, BONE = -1000, -860, -100, 45, 40, 320, 700


def chest_slice(position: float, *, size: int = 512, contrast: bool = True, seed: int = 0) -> np.ndarray:
    """One axial slice, int16. ``position``: 0 at the top of the lungs, 1 at their base."""
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j].astype(np.float32)
    image = np.full((size, size), AIR, np.float32)
    breadth, depth = 0.80 + 0.06 * position, 0.56 + 0.05 * position

    def ellipse(cx: float, cy: float, rx: float, ry: float, turn: float = 0.0) -> np.ndarray:
        cos, sin = np.cos(turn), np.sin(turn)
        along, across = (x - cx) * cos + (y - cy) * sin, (y - cy) * cos - (x - cx) * sin
        return (along / rx) ** 2 + (across / ry) ** 2 <= 1

    image[ellipse(0, 0, breadth, depth)] = FAT
    image[ellipse(0, 0, breadth - 0.05, depth - 0.05)] = MUSCLE
    full = np.sin(np.pi * np.clip(0.15 + 0.75 * position, 0, 1))
    for side in (-1, 1):
        lung = ellipse(side * 0.38, -0.02, 0.16 + 0.15 * full, 0.20 + 0.22 * full, side * 0.12)
        image[lung] = LUNG
        for number in range(9):
            angle, away = number * 0.7 + position * 3, 0.05 + 0.03 * number
            vessel = ellipse(side * 0.38 + away * np.cos(angle), away * np.sin(angle), 0.012, 0.012)
            image[vessel & lung] = CONTRAST * 0.6 if contrast else BLOOD
    blood = CONTRAST if contrast else BLOOD
    image[ellipse(-0.05 + 0.14 * position, -0.12, 0.13 + 0.14 * position, 0.12 + 0.10 * position)] = MUSCLE
    image[ellipse(0.02 + 0.10 * position, -0.14, 0.08 + 0.09 * position, 0.07 + 0.07 * position)] = blood
    image[ellipse(0.07, 0.20, 0.055, 0.055)] = blood * 0.95
    image[ellipse(0.0, 0.05, 0.035, 0.04)] = AIR if position < 0.45 else MUSCLE
    image[ellipse(0, 0.36, 0.11, 0.09)] = BONE * 0.55
    image[ellipse(0, 0.35, 0.085, 0.065)] = BONE * 0.3
    image[ellipse(0, 0.46, 0.035, 0.035)] = 10
    for number in range(14):
        angle = number * 2 * np.pi / 14 + 0.25 * np.sin(position * 12)
        rx, ry = breadth - 0.11, depth - 0.10
        image[ellipse(rx * np.cos(angle), ry * np.sin(angle), 0.055, 0.018, angle + np.pi / 2)] = BONE
    table = (y > depth + 0.10) & (y < depth + 0.13) & (np.abs(x) < 0.72)
    image[table] = -320
    image = softened(image)
    noise = np.random.default_rng(seed + int(position * 10_000)).normal(0, 14, image.shape)
    inside = image > AIR
    return np.clip(image + np.where(inside, noise, noise * 0.4), -1024, 3071).astype(np.int16)


@functools.lru_cache(maxsize=8)
def _projection(size: int) -> np.ndarray:
    """What the chest leaves on a film, 0 to 1: drawn small once, and enlarged."""
    small, rows = 128, 48
    total = np.zeros((rows, small), np.float32)
    for row in range(rows):
        one = chest_slice(row / (rows - 1), size=small, contrast=False).astype(np.float32)
        total[row] = np.clip(one + 1000, 0, None).sum(axis=0)
    wide = np.array([np.interp(np.linspace(0, small - 1, size), np.arange(small), line) for line in total])
    places = np.linspace(0, rows - 1, size)
    film = np.array([np.interp(places, np.arange(rows), wide[:, column]) for column in range(size)]).T
    return (film - film.min()) / (film.max() - film.min())


def softened(image: np.ndarray) -> np.ndarray:
    """Edges as a scanner has them: the mean of each pixel and its eight neighbours."""
    padded = np.pad(image, 1, mode="edge")
    rows, columns = image.shape
    shifted = [padded[y : y + rows, x : x + columns] for y in range(3) for x in range(3)]
    return np.asarray(np.mean(shifted, axis=0, dtype=np.float32))


def chest_film(*, size: int = 512, seed: int = 0) -> np.ndarray:
    """A projection through the same chest, 12 bits, bright bone: for radiography."""
    grain = np.random.default_rng(seed).normal(0, 0.006, (size, size))
    return (np.clip(_projection(size) + grain, 0, 1) * 4000).astype(np.uint16)


def mammogram(*, size: int = 512, seed: int = 0, is_left: bool = False) -> np.ndarray:
    """A breast against the chest wall, 12 bits, bright tissue: glandular strands in fat."""
    y, x = np.mgrid[-1 : 1 : size * 1j, 0 : 2 : size * 1j].astype(np.float32)
    random = np.random.default_rng(seed)
    breast = np.clip(1.4 - np.hypot(x / 1.15, y / 0.85) * 1.4, 0, 1)
    strands = np.zeros_like(breast)
    for _strand in range(40):
        cx, cy, turn = random.uniform(0.1, 0.8), random.uniform(-0.5, 0.5), random.uniform(-0.6, 0.6)
        along = (x - cx) * np.cos(turn) + (y - cy) * np.sin(turn)
        across = (y - cy) * np.cos(turn) - (x - cx) * np.sin(turn)
        strands += np.exp(-((along / 0.25) ** 2) - (across / 0.03) ** 2)
    film = np.sqrt(breast) * (1700 + 700 * np.clip(strands, 0, 2)) + random.normal(0, 25, breast.shape)
    film = np.where(breast > 0, film, 60 + random.normal(0, 10, breast.shape))
    return np.clip(film if is_left else film[:, ::-1], 0, 4000).astype(np.uint16)


def fan(*, size: int = 512, seed: int = 0) -> np.ndarray:
    """A sector of ultrasound with a cyst that moves with ``seed``, 8 bits."""
    y, x = np.mgrid[0 : 1 : size * 1j, -1 : 1 : size * 1j].astype(np.float32)
    distance, angle = np.hypot(x, y), np.arctan2(x, y + 1e-6)
    speckle = np.random.default_rng(seed).rayleigh(38, (size, size)).astype(np.float32)
    echo = speckle * (1.3 - distance) + 90 * (np.abs(distance - 0.55) < 0.02)
    echo = np.where((np.hypot(x - 0.1 - 0.01 * seed, y - 0.45) < 0.12), 6, echo)
    sector = (np.abs(angle) < 0.62) & (distance > 0.08) & (distance < 0.98)
    return np.clip(np.where(sector, echo, 0), 0, 255).astype(np.uint8)
