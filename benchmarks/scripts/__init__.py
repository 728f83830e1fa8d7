"""What users of each framework would write to train a classifier on a table, for `benchmarks.endtoend`.

Each script stands alone: `python torch_fit.py FILE EPOCHS BATCH RATE HIDDEN...` reads x and t from a file of NumPy,
scales bytes to 0..1, trains fully connected layers (ReLU, then softmax with cross-entropy) by Adam in a new random
order in each epoch, and prints the mean loss of the last epoch. All start from weights as in Glorot & Bengio, 2010.
"""
