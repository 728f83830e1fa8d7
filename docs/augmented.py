"""Make docs/augmented.png, what layers of augmentation do to some digits: python -m docs.augmented [FOLDER OF MNIST]

Needs the extra `data`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from minibp import ElasticDistortion, GaussianNoise, RandomAffine, data

LAYERS = {
    "RandomAffine()": RandomAffine(seed=1),
    "RandomAffine(rotation=0, scale=0, shear=20, translation=0.1)": RandomAffine(0, 0, 20, 0.1, seed=1),
    "ElasticDistortion()": ElasticDistortion(seed=1),
    "ElasticDistortion(rotation=15, scale=0.15)": ElasticDistortion(rotation=15, scale=0.15, seed=2),
    "GaussianNoise(0.2)": GaussianNoise(0.2, seed=1),
}
TIMES = 2  # how often each layer draws
SIZE, GAP, HEAD, SHADES = 56, 6, 24, 32  # of an image and the space around it, in pixels; shades of grey in the file


def samples(mnist: data.Dataset) -> np.ndarray:
    """A grid, which shows where pixels come from, and the first of each digit."""
    grid = np.zeros((28, 28))
    grid[2::4, 2:27] = grid[2:27, 2::4] = 1
    digits = [mnist.x[int(np.argmax(mnist.t == digit))] / 255 for digit in range(10)]
    return np.stack([grid, *digits])


def main() -> int:
    """Make the picture. Returns the exit status."""
    from PIL import Image, ImageDraw, ImageFont

    given = samples(data.mnist(*sys.argv[1:]).train)
    rows: dict[str, list[np.ndarray]] = {"as given": [given]}
    rows |= {name: [layer.forward(given).copy() for _ in range(TIMES)] for name, layer in LAYERS.items()}
    height = sum(HEAD + len(each) * (SIZE + GAP) + GAP for each in rows.values())
    sheet = Image.new("L", (GAP + len(given) * (SIZE + GAP), height), 255)
    pen, font, y = ImageDraw.Draw(sheet), ImageFont.load_default(15), 0
    for name, drawn in rows.items():
        pen.text((GAP, y + GAP), name, 0, font)
        y += HEAD + GAP
        for images in drawn:
            for i, pixels in enumerate(images):
                dark = Image.fromarray(np.uint8(255 - 255 * pixels.clip(0, 1)))
                sheet.paste(dark.resize((SIZE, SIZE), Image.Resampling.NEAREST), (GAP + i * (SIZE + GAP), y))
            y += SIZE + GAP
    sheet.quantize(SHADES).save(Path(__file__).parent / "augmented.png", optimize=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
