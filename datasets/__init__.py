"""Training scripts, one for each data set: python -m datasets.mnist"""
