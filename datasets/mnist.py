"""Train a network on MNIST: python -m datasets.mnist"""

import sys

from minibp import data

from .script import main

if __name__ == "__main__":
    sys.exit(main("mnist", data.mnist))
