"""Create minibp/data/digits.npz, the digits that come with minibp, from scikit-learn: python -m datasets.make_digits

Needed only once, with scikit-learn installed. The data are the test set of "Optical Recognition of Handwritten Digits"
by E. Alpaydin and C. Kaynak, UCI Machine Learning Repository, 1998, CC BY 4.0: 1797 images of 8 x 8 values 0..16. They
are stored as uint8 0..255, which a network scales to 0..1.
"""

from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

PATH = Path(__file__).parent.parent / "minibp" / "data" / "digits.npz"


def main() -> None:
    digits = load_digits()
    x = np.round(digits.images * (255 / 16)).astype(np.uint8)
    t = digits.target.astype(np.uint8)
    np.savez_compressed(PATH, x=x, t=t)
    print(f"{PATH}: {len(x)} images, {PATH.stat().st_size} bytes")


if __name__ == "__main__":
    main()
