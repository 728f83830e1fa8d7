"""Ten digits as a person draws them: strokes, each a list of points (x, y) in a square of side 1."""

from math import cos, pi, sin


def arc(x, y, rx, ry, start, stop):
    """Points on an ellipse, from one angle to another, in turns; 0 is on the right, 0.25 at the bottom."""
    angles = [2 * pi * (start + (stop - start) * i / 16) for i in range(17)]
    return [(x + rx * cos(angle), y + ry * sin(angle)) for angle in angles]


DIGITS = [
    [arc(0.5, 0.5, 0.22, 0.35, -0.25, 0.75)],
    [[(0.4, 0.28), (0.52, 0.14), (0.5, 0.86)]],
    [[*arc(0.5, 0.33, 0.2, 0.18, -0.5, 0.1), (0.29, 0.84), (0.73, 0.84)]],
    [[*arc(0.47, 0.32, 0.2, 0.18, -0.4, 0.2), *arc(0.47, 0.67, 0.23, 0.18, -0.2, 0.42)]],
    [[(0.4, 0.14), (0.28, 0.55), (0.74, 0.55)], [(0.65, 0.3), (0.6, 0.88)]],
    [[(0.7, 0.15), (0.37, 0.15), (0.33, 0.46), *arc(0.47, 0.64, 0.21, 0.21, -0.3, 0.4)]],
    [[(0.62, 0.13), (0.4, 0.4), *arc(0.49, 0.66, 0.2, 0.2, -0.5, 0.5)]],
    [[(0.27, 0.16), (0.72, 0.16), (0.62, 0.4), (0.45, 0.87)]],
    [[*arc(0.5, 0.32, 0.16, 0.17, 0.25, -0.75), *arc(0.5, 0.68, 0.2, 0.19, -0.25, 0.75)]],
    [[*arc(0.5, 0.34, 0.19, 0.19, 0, 1), (0.68, 0.5), (0.62, 0.87)]],
]
