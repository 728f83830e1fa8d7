"""Train a network on the embedded digits: python -m datasets.digits"""

import sys

from minibp import data

from .script import main

if __name__ == "__main__":
    sys.exit(main("digits", data.digits, model="small"))
