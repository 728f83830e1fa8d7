"""MLPClassifier and MLPRegressor with the parameters of scikit-learn's, trained by minibp (extra `sklearn`)."""

import minibp.errors

try:
    from .estimators import MLPClassifier, MLPRegressor
except ImportError as error:
    if (error.name or "").partition(".")[0] not in ("sklearn", "scipy"):
        raise
    raise minibp.errors.MissingExtraError("scikit-learn>=1.6", "sklearn", "minibp.sklearn") from error

__all__ = ["MLPClassifier", "MLPRegressor"]
