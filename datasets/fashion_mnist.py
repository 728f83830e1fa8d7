"""Train a network on Fashion-MNIST: python -m datasets.fashion_mnist"""

import sys

from minibp import data

from .script import main

if __name__ == "__main__":
    sys.exit(main("fashion_mnist", data.fashion_mnist))
