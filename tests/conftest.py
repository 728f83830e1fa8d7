"""What all tests share."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

settings.register_profile("minibp", deadline=None, max_examples=30, derandomize="CI" in os.environ)
settings.load_profile("minibp")

ROOT = Path(__file__).parent.parent


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(scope="session")  # set up before a test's own fixtures, some of which remove MINIBP_DATA
def mnist_directory():
    """The folder of MNIST's four files."""
    for root in (os.environ.get("MINIBP_DATA"), ROOT.parent / "shared" / "data"):
        if root and (Path(root) / "mnist").is_dir():
            return Path(root) / "mnist"
    pytest.skip("MNIST not found: set MINIBP_DATA")
