"""Train a network on KMNIST: python -m datasets.kmnist"""

import sys

from minibp import data

from .script import main

if __name__ == "__main__":
    sys.exit(main("kmnist", data.kmnist))
