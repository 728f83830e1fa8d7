"""Training scripts, one for each data set, such as python -m datasets.mnist."""
