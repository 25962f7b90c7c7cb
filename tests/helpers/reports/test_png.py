"""Pictures without matplotlib: the pixels are those that matplotlib draws."""

import io
import struct
import zlib

import numpy as np
import pytest

from helpers.reports.png import MAGMA, png


def pixels(data):
    """Rows of palette places of a PNG as `png` writes it, decoded by zlib alone, and its size."""
    at = data.index(b"IDAT")
    (length,) = struct.unpack(">I", data[at - 4 : at])
    columns, rows = struct.unpack(">II", data[16:24])
    lines = np.frombuffer(zlib.decompress(data[at + 4 : at + 4 + length]), np.uint8).reshape(rows, columns + 1)
    assert not lines[:, 0].any()
    return lines[:, 1:]


@pytest.mark.parametrize("shape", [(1, 1), (96, 900), (7, 3)])
def test_the_pixels_are_matplotlibs(shape):
    image = pytest.importorskip("matplotlib.image")
    values = np.random.default_rng(0).normal(0.5, 0.6, shape).astype(np.float32)
    file = io.BytesIO()
    image.imsave(file, values, cmap="magma", vmin=0.0, vmax=1.0, format="png")
    file.seek(0)
    wanted = np.rint(image.imread(file)[..., :3] * 255).astype(np.uint8)
    palette = np.frombuffer(MAGMA, np.uint8).reshape(256, 3)
    assert np.array_equal(palette[pixels(png(values, 0.0, 1.0))], wanted)
    file = io.BytesIO(png(values, 0.0, 1.0))
    assert np.array_equal(np.rint(image.imread(file)[..., :3] * 255).astype(np.uint8), wanted)  # read by another's decoder


def test_the_ends_of_the_range_are_the_ends_of_the_palette():
    values = np.array([[-5.0, 0.0, 0.5, 1.0, 9.0, np.nan]])
    assert pixels(png(values, 0.0, 1.0)).tolist() == [[0, 0, 128, 255, 255, 0]]
