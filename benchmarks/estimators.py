"""The estimators against scikit-learn's MLP, on its own data sets: python -m benchmarks.estimators

    python -m benchmarks.estimators --rounds 5 --json results.json

Everything that a user waits for is timed: a cross-validation over five folds of a Pipeline with a StandardScaler. The
parameters are the defaults, and those of a small net in small batches. Needs the extra `sklearn`; with the extra `fast`
the steps run compiled, and the formulas are measured besides. All take turns in one process, after one turn that is not
counted, so numba is loaded and compiled.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
import warnings
from collections.abc import Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from . import machine, tables
from .ratios import by_round, dropped, ratio, spread
from .rounds import take_turns

SETS = ("iris", "wine", "breast_cancer", "digits", "diabetes")
PARAMETERS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "small": {"hidden_layer_sizes": (32,), "batch_size": 16, "max_iter": 100},
}
FOLDS = 5


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print. Returns 1 if a score is below that of scikit-learn by more than a standard error."""
    p = argparse.ArgumentParser(description="Compare the estimators with scikit-learn's MLP.")
    p.add_argument("--sets", nargs="+", default=list(SETS), choices=SETS, help="default: all")
    p.add_argument("--rounds", type=int, default=5, help="turns of each (default: %(default)s)")
    p.add_argument("--any-load", action="store_true", help="keep turns that other processes disturbed")
    p.add_argument("--json", metavar="FILE", help="write every turn to this file")
    options = p.parse_args(arguments)
    limit = {"limit": math.inf} if options.any_load else {}
    results: dict[str, dict[str, Any]] = {}
    for kind in PARAMETERS:
        for name in options.sets:
            print(f"{name}, {kind}", file=sys.stderr, flush=True)
            takers = {who: partial(turn, who, name, kind) for who in contestants()}
            scores = {who: take()["scores"] for who, take in takers.items()}
            turns, _ = take_turns(takers, options.rounds, **limit)
            results[f"{name}, {kind}"] = {"scores": scores, "turns": turns}
    about = machine.about()
    print(f"\n{tables.header(about, machine.blas())}\n\n{table(results)}\n")
    every = [one for found in results.values() for each in found["turns"].values() for one in each]
    print(f"{dropped(every)} of {len(every)} turns dropped. small: {PARAMETERS['small']}")
    if options.json:
        Path(options.json).write_text(json.dumps({**about, "results": results}, indent=1) + "\n", encoding="utf-8")
    return int(any(below(found["scores"]) for found in results.values()))


def contestants() -> list[str]:
    """Who takes turns: without numba there are only the formulas."""
    return ["scikit-learn", *(["compiled"] if find_spec("numba") else []), "formulas"]


def turn(who: str, name: str, kind: str) -> dict[str, Any]:
    """Cross-validate once."""
    from sklearn import datasets, neural_network
    from sklearn.model_selection import cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    import minibp.sklearn
    from minibp.sklearn import descent

    X, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    module: Any = neural_network if who == "scikit-learn" else minibp.sklearn
    estimator = module.MLPRegressor if name == "diabetes" else module.MLPClassifier
    pipeline = make_pipeline(StandardScaler(), estimator(random_state=0, **PARAMETERS[kind]))
    known, descent.why_not = descent.why_not, partial(refuse, who, descent.why_not)
    try:
        before, own, begin = machine.busy(), time.process_time(), time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that max_iter was reached
            scores = cross_val_score(pipeline, X, y, cv=FOLDS)
        wall, own, after = time.perf_counter() - begin, time.process_time() - own, machine.busy()
    finally:
        descent.why_not = known
    others = machine.others(before, after, own, wall) if wall > 0.2 else 0.0  # the system counts in hundredths
    return {"seconds": wall, "scores": [float(score) for score in scores], "others": others}


def refuse(who: str, known: Any, *arguments: Any) -> str:
    """Why steps are not compiled."""
    return "the formulas are measured" if who == "formulas" else str(known(*arguments))


def below(scores: dict[str, list[float]]) -> bool:
    """Whether a score is below scikit-learn's by more than one standard error over the folds."""
    theirs = statistics(scores["scikit-learn"])
    return any(statistics(each)[0] < theirs[0] - theirs[1] for each in scores.values())


def statistics(scores: list[float]) -> tuple[float, float]:
    """The mean and its standard error."""
    mean, n = sum(scores) / len(scores), len(scores)
    return mean, math.sqrt(sum((score - mean) ** 2 for score in scores) / (n - 1) / n)


def table(results: dict[str, dict[str, Any]]) -> str:
    """The scores, the seconds of scikit-learn, and its time relative to ours, with quartiles."""
    ours = [who for who in contestants() if who != "scikit-learn"]
    head = ["", "score", "scikit-learn's", "its seconds", *(f"/ {who}" for who in ours)]
    rows = []
    for name, found in results.items():
        theirs = found["turns"]["scikit-learn"]
        scores = {who: statistics(each) for who, each in found["scores"].items()}
        row = [name, f"{scores[ours[0]][0]:.4f}", "{:.4f} ± {:.4f}".format(*scores["scikit-learn"])]
        seconds = spread(by_round(theirs).values())
        row.append(f"{seconds.median:.3f}" if seconds else "-")
        rows.append(row + [str(ratio(theirs, found["turns"][who]) or "-") for who in ours])
    return tables.markdown(head, rows)


if __name__ == "__main__":
    sys.exit(main())
