"""MLPClassifier and MLPRegressor: they train as scikit-learn's do, and refuse what those refuse."""

import inspect
import itertools
import sys
import warnings

import numpy as np
import pytest

sklearn = pytest.importorskip("sklearn", minversion="1.6")

import standin  # noqa: E402
from scipy import sparse  # noqa: E402
from sklearn import datasets, neural_network  # noqa: E402
from sklearn.base import clone  # noqa: E402
from sklearn.exceptions import DataConversionWarning, NotFittedError  # noqa: E402
from sklearn.preprocessing import StandardScaler, minmax_scale  # noqa: E402
from sklearn.utils.estimator_checks import check_estimator  # noqa: E402

import minibp  # noqa: E402
from minibp import Dense, Network, ReLU  # noqa: E402
from minibp.errors import BackendError, TrainingWarning  # noqa: E402
from minibp.sklearn import MLPClassifier, MLPRegressor, descent  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*reached and the optimization"),
    pytest.mark.filterwarnings("ignore:lbfgs did not converge"),
    pytest.mark.filterwarnings("ignore:scipy.optimize. The `disp`"),  # of the oldest scikit-learn
    pytest.mark.filterwarnings("ignore:lbfgs failed to converge"),  # scikit-learn's words
]
both = pytest.mark.parametrize("ours", [MLPClassifier, MLPRegressor])
THEIRS = {MLPClassifier: neural_network.MLPClassifier, MLPRegressor: neural_network.MLPRegressor}
UPDATES = {
    "plain": {"solver": "sgd", "momentum": 0.0, "learning_rate_init": 0.1},
    "momentum": {"solver": "sgd", "momentum": 0.9, "nesterovs_momentum": False, "learning_rate_init": 0.01},
    "nesterov": {"solver": "sgd", "momentum": 0.9, "learning_rate_init": 0.01},
    "invscaling": {"solver": "sgd", "learning_rate": "invscaling", "power_t": 0.3, "learning_rate_init": 0.02},
    "adaptive": {"solver": "sgd", "learning_rate": "adaptive", "tol": 0.1, "n_iter_no_change": 3},
    "adam": {"solver": "adam", "learning_rate_init": 0.01},
    "large epsilon": {"solver": "adam", "epsilon": 0.1, "beta_1": 0.8, "beta_2": 0.99},
}
updates = pytest.mark.parametrize("update", UPDATES.values(), ids=UPDATES)
KINDS = ["binary", "multiclass", "multilabel", "regression", "several numbers"]


def problem(kind, n=230):
    """X, y and the class of the estimator for a small problem."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 6))
    scores = X @ rng.normal(size=(6, 3)) + np.sin(X[:, :3])
    y = {
        "binary": scores[:, 0] > 0,
        "multiclass": np.array(["bird", "cat", "dog"])[scores.argmax(axis=1)],
        "multilabel": (scores > 0).astype(int),
        "regression": scores[:, 0],
        "several numbers": scores,
    }[kind]
    return X, y, MLPRegressor if "r" in kind and y.dtype.kind == "f" else MLPClassifier


def pair(kind, **parameters):
    """Our estimator and scikit-learn's, trained on the same with the same parameters."""
    X, y, ours = problem(kind)
    parameters = {"random_state": 3, "hidden_layer_sizes": (7, 5), **parameters}
    return ours(**parameters).fit(X, y), THEIRS[ours](**parameters).fit(X, y), X, y


def assert_same_weights(a, b, tolerance=1e-8):
    for one, other in zip(a.coefs_ + a.intercepts_, b.coefs_ + b.intercepts_, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=tolerance)


def assert_equal_weights(a, b):
    for one, other in zip(a.coefs_ + a.intercepts_, b.coefs_ + b.intercepts_, strict=True):
        np.testing.assert_array_equal(one, other)


# --- the same parameters --------------------------------------------------------------------------------------------


@both
def test_all_parameters_of_scikit_learn_have_the_same_names_defaults_and_order(ours):
    theirs = list(inspect.signature(THEIRS[ours]).parameters.items())
    mine = inspect.signature(ours).parameters
    assert all(mine[name].default == each.default and mine[name].kind == each.kind for name, each in theirs)
    shared = [name for name in mine if name in dict(theirs)]
    assert shared == [name for name, _ in theirs]


@both
@pytest.mark.filterwarnings("ignore")
def test_the_checks_of_scikit_learn_pass(ours):
    check_estimator(ours())


# --- the same training ----------------------------------------------------------------------------------------------


@updates
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("activation", ["relu", "tanh", "logistic", "identity"])
def test_twenty_epochs_give_the_weights_of_scikit_learn(kind, activation, update):
    parameters = {"tol": 0, "n_iter_no_change": 20, "alpha": 0.1, "batch_size": 32, "max_iter": 20} | update
    ours, theirs, *_ = pair(kind, activation=activation, **parameters)
    assert_same_weights(ours, theirs)
    assert ours.n_iter_ == theirs.n_iter_ == 20
    assert ours.t_ == theirs.t_


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_losses_are_those_of_scikit_learn(kind, solver):
    ours, theirs, *_ = pair(kind, solver=solver, batch_size=32, max_iter=20, tol=0)
    np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-5)
    assert ours.loss_ == ours.loss_curve_[-1] and ours.best_loss_ == min(ours.loss_curve_)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "multilabel"])  # which their partial_fit refuses
def test_twenty_epochs_from_copied_weights_in_the_given_order_give_those_of_scikit_learn(kind):
    X, y, ours = problem(kind)
    parameters = {"shuffle": False, "random_state": 0, "batch_size": 50, "alpha": 0.01}
    one, other = ours(**parameters), THEIRS[ours](**parameters)
    classes = {"classes": np.unique(y)} if ours is MLPClassifier else {}
    one.partial_fit(X, y, **classes)
    other.partial_fit(X, y, **classes)
    rng = np.random.default_rng(1)
    for estimator in (one, other):  # of both nothing but the copied weights goes on
        estimator._optimizer = None
        del estimator._optimizer
    weights = [rng.normal(size=W.shape) * 0.3 for W in other.coefs_]
    one.coefs_ = weights
    for W, values in zip(other.coefs_, weights, strict=True):
        W[...] = values
    for b, values in zip(other.intercepts_, one.intercepts_, strict=True):
        b[...] = values
    for _ in range(20):
        one.partial_fit(X, y)
        other.partial_fit(X, y)
    assert_same_weights(one, other)


@pytest.mark.parametrize("kind", KINDS)
def test_float32_inputs_give_a_float32_network_and_almost_the_same_weights(kind):
    X, y, ours = problem(kind)
    one, other = (each(random_state=0, max_iter=5).fit(X.astype("float32"), y) for each in (ours, THEIRS[ours]))
    assert one.coefs_[0].dtype == other.coefs_[0].dtype == "float32"
    assert_same_weights(one, other, 1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_training_stops_in_the_epoch_in_which_scikit_learn_stops(kind):
    ours, theirs, *_ = pair(kind, max_iter=500, tol=1e-3, n_iter_no_change=5, learning_rate_init=0.01)
    assert ours.n_iter_ == theirs.n_iter_ < 500
    assert ours.best_loss_ == pytest.approx(theirs.best_loss_, rel=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_early_stopping_holds_out_the_samples_of_scikit_learn_and_keeps_the_best_weights(kind):
    if kind == "multiclass" and sklearn.__version__ < "1.7":
        pytest.skip("scikit-learn 1.6 cannot score names of classes here")
    ours, theirs, *_ = pair(kind, early_stopping=True, validation_fraction=0.2, max_iter=80, learning_rate_init=0.01)
    np.testing.assert_allclose(ours.validation_scores_, theirs.validation_scores_, rtol=1e-6)
    assert ours.best_validation_score_ == pytest.approx(theirs.best_validation_score_)
    assert ours.best_loss_ is None and theirs.best_loss_ is None
    assert_same_weights(ours, theirs)
    assert len(ours.validation_loss_curve_) == ours.n_iter_


@pytest.mark.parametrize("kind", KINDS[:-1])  # for several numbers their loss does not fit their gradient
def test_lbfgs_reaches_the_loss_of_scikit_learn(kind):
    ours, theirs, *_ = pair(kind, solver="lbfgs", alpha=1.0, max_iter=1000, activation="tanh")
    assert ours.loss_ == pytest.approx(theirs.loss_, abs=1e-4)


def test_lbfgs_makes_the_first_steps_of_scikit_learn():
    ours, theirs, *_ = pair("multiclass", solver="lbfgs", max_iter=5)
    assert_same_weights(ours, theirs, 1e-7)
    assert ours.n_iter_ == theirs.n_iter_


def test_the_loss_of_lbfgs_is_that_of_the_other_solvers_also_for_several_numbers():
    X, y, _ = problem("several numbers")
    model = MLPRegressor(solver="lbfgs", max_iter=5, alpha=0.5).fit(X, y)
    penalty = 0.5 * 0.5 / len(X) * sum((W**2).sum() for W in model.coefs_)
    assert model.loss_ == pytest.approx(0.5 * ((model.predict(X) - y) ** 2).mean() + penalty)


@pytest.mark.skipif(sklearn.__version__ < "1.7", reason="its MLP has no loss to choose before 1.7")
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize("outputs", [1, 2])
def test_a_poisson_loss_gives_the_weights_of_scikit_learn(solver, outputs):
    X, y, _ = problem("several numbers")
    y = np.random.default_rng(1).poisson(np.exp(0.3 * y[:, :outputs])).squeeze()
    stop = {"max_iter": 20, "tol": 0, "n_iter_no_change": 20}
    parameters = {"loss": "poisson", "solver": solver, "random_state": 0, **stop}
    one, other = (each(**parameters).fit(X, y) for each in (MLPRegressor, neural_network.MLPRegressor))
    assert_same_weights(one, other, 1e-8 if solver != "lbfgs" else 1e-4)
    assert one.loss_ == pytest.approx(other.loss_, rel=1e-5)
    np.testing.assert_allclose(one.predict(X), other.predict(X), rtol=1e-3)


# --- predictions ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_predictions_and_scores_are_those_of_scikit_learn(kind):
    ours, theirs, X, y = pair(kind, max_iter=20)
    one, other = ours.predict(X), theirs.predict(X)
    assert one.shape == other.shape and one.dtype.kind == other.dtype.kind
    np.testing.assert_allclose(one, other, atol=1e-8) if one.dtype.kind == "f" else np.testing.assert_equal(one, other)
    assert ours.score(X, y) == pytest.approx(theirs.score(X, y))
    if isinstance(ours, MLPClassifier):
        np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-8)
        np.testing.assert_allclose(ours.predict_log_proba(X), theirs.predict_log_proba(X), atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_attributes_are_those_of_scikit_learn(kind):
    ours, theirs, *_ = pair(kind, max_iter=3)
    for name in ("n_layers_", "n_outputs_", "out_activation_", "n_features_in_", "n_iter_", "t_"):
        assert getattr(ours, name) == getattr(theirs, name), name
    if isinstance(ours, MLPClassifier):
        np.testing.assert_array_equal(ours.classes_, theirs.classes_)
    assert isinstance(ours.network_, Network)
    public = {name for name in dir(theirs) if name[-1] == "_" and name[0] != "_"}
    assert public <= {name for name in dir(ours) if name[-1] == "_"}


def test_one_class_is_always_predicted():
    X = np.random.default_rng(0).normal(size=(20, 3))
    model = MLPClassifier(max_iter=3).fit(X, ["only"] * 20)
    assert set(model.predict(X)) == {"only"} and (model.predict_proba(X) == 1).all()


def test_probabilities_of_a_float32_network_sum_to_1_in_float64():
    X, y, _ = problem("multiclass")
    p = MLPClassifier(dtype="float32", max_iter=3).fit(X, y).predict_proba(X)
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=0, atol=1e-15)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("container", [sparse.csr_matrix, sparse.csc_array])
def test_sparse_inputs_give_what_dense_ones_give(kind, container):
    X, y, ours = problem(kind)
    X[X < 0.5] = 0
    one, other = (ours(max_iter=5, random_state=0).fit(x, y) for x in (X, container(X)))
    assert_equal_weights(one, other)
    np.testing.assert_array_equal(one.predict(X), other.predict(container(X)))


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_a_sparse_matrix_never_becomes_dense_as_a_whole(solver, monkeypatch):
    X = sparse.csr_array((np.ones(3000), (np.arange(3000), np.arange(3000))), shape=(3000, 20000))
    y, sizes, toarray = np.arange(3000) % 2, [], type(X).toarray
    monkeypatch.setattr(type(X), "toarray", lambda self: sizes.append(len(self.indptr)) or toarray(self))
    MLPClassifier((2,), solver=solver, max_iter=1, random_state=0).fit(X, y, X_val=X, y_val=y).predict(X)
    assert 1 < max(sizes) < 2000


def test_bytes_are_not_scaled():
    X, y, _ = problem("binary")
    X = minmax_scale(X, (0, 20)).astype("uint8")
    one, other = (MLPClassifier(max_iter=5, random_state=0).fit(x, y) for x in (X, X.astype(float)))
    assert_equal_weights(one, other)


def test_lists_are_taken():
    model = MLPClassifier(max_iter=2).fit([[0.0, 1.0], [1.0, 0.0]] * 5, ["a", "b"] * 5)
    assert model.predict([[0.0, 1.0]])[0] in ("a", "b")


# --- going on -------------------------------------------------------------------------------------------------------


@updates
@pytest.mark.parametrize("kind", KINDS)
def test_calls_of_partial_fit_equal_one_fit_to_the_bit(kind, update):
    X, y, ours = problem(kind)
    model = ours(**update | {"tol": 0, "n_iter_no_change": 99, "batch_size": 32, "random_state": 0, "max_iter": 7})
    whole, parts = clone(model).fit(X, y), clone(model)
    for i in range(7):
        parts.partial_fit(X, y, **({"classes": np.unique(y)} if ours is MLPClassifier and i == 0 else {}))
    assert_equal_weights(whole, parts)
    assert whole.loss_curve_ == parts.loss_curve_ and whole.t_ == parts.t_


@updates
def test_a_warm_start_goes_on_with_the_moments_to_the_bit(update):
    X, y, ours = problem("multiclass")
    model = ours(**update | {"tol": 0, "n_iter_no_change": 99, "batch_size": 32, "random_state": 0, "max_iter": 8})
    whole, parts = clone(model).fit(X, y), clone(model).set_params(max_iter=4, warm_start=True)
    parts.fit(X, y).fit(X, y)
    assert_equal_weights(whole, parts)
    assert whole.loss_curve_ == parts.loss_curve_ and parts.n_iter_ == 4


def test_without_warm_start_a_fit_begins_again():
    X, y, ours = problem("regression")
    model = ours(max_iter=3, random_state=0)
    first = [W.copy() for W in model.fit(X, y).coefs_]
    np.testing.assert_array_equal(first[0], model.fit(X, y).coefs_[0])


def test_a_warm_start_holds_out_the_same_samples():
    X, y, ours = problem("binary")
    model = ours(early_stopping=True, warm_start=True, max_iter=2, random_state=0, shuffle=False).fit(X, y)
    score = model.best_validation_score_
    assert model.set_params(max_iter=1).fit(X, y).best_validation_score_ >= score
    assert len(model.validation_scores_) == 3


def test_a_warm_start_may_turn_early_stopping_on_and_change_the_solver():
    X, y, ours = problem("binary")
    model = ours(warm_start=True, max_iter=2, random_state=0).fit(X, y)
    for changed in ({"early_stopping": True}, {"solver": "sgd"}, {"solver": "lbfgs"}, {"early_stopping": False}):
        model.set_params(**changed).fit(X, y)
    assert model.score(X, y) > 0.8


# --- what is more than scikit-learn's -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_validation_set_is_scored_after_each_epoch(kind):
    X, y, ours = problem(kind)
    model = ours(max_iter=4, random_state=0).fit(X[:150], y[:150], X_val=X[150:], y_val=y[150:])
    assert len(model.validation_scores_) == len(model.validation_loss_curve_) == 4
    assert model.validation_scores_[-1] == pytest.approx(model.score(X[150:], y[150:]))
    assert_equal_weights(model, ours(max_iter=4, random_state=0).fit(X[:150], y[:150]))


def test_early_stopping_uses_the_validation_set_that_is_given():
    X, y, ours = problem("multiclass")
    model = ours(max_iter=30, random_state=0, early_stopping=True).fit(X[:150], y[:150], X_val=X[150:], y_val=y[150:])
    assert model.best_validation_score_ == model.score(X[150:], y[150:]) == max(model.validation_scores_)
    assert model.t_ == 150 * model.n_iter_


def test_dropout_acts_in_training_alone():
    X, y, ours = problem("multiclass")
    plain, dropped = (ours(max_iter=5, random_state=0, dropout=rate).fit(X, y) for rate in (0, 0.5))
    assert abs(plain.coefs_[0] - dropped.coefs_[0]).max() > 1e-3
    np.testing.assert_array_equal(dropped.predict_proba(X), dropped.predict_proba(X))


def test_layers_of_your_own_make_the_network():
    X, y, ours = problem("multiclass")
    model = ours(layers=lambda n_in, n_out: [Dense(n_in, 9), ReLU(), Dense(9, n_out)], learning_rate_init=0.1).fit(X, y)
    assert [W.shape for W in model.coefs_] == [(6, 9), (9, 3)] and model.n_layers_ == 3
    assert model.score(X, y) > 0.8


def test_weights_can_be_assigned_all_together_and_not_one_by_one():
    X, y, _ = problem("multiclass")
    model = MLPClassifier(max_iter=1).fit(X, y)
    with pytest.raises(TypeError, match="does not support item assignment"):
        model.coefs_[0] = 0 * model.coefs_[0]
    model.coefs_ = [0 * W for W in model.coefs_]
    assert not any(W.any() for W in model.network_.weights)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_weights_of_two_double_samples_and_of_zero_remove_them(kind, solver):
    X, y, ours = problem(kind, 60)
    weights = np.arange(60) % 3
    model = ours(solver=solver, batch_size=200, max_iter=20, random_state=0, alpha=0.1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        one = clone(model).fit(X, y, sample_weight=weights)
        other = clone(model).fit(X.repeat(weights, axis=0), y.repeat(weights, axis=0))
    assert_same_weights(one, other)


@pytest.mark.parametrize("kind", KINDS)
def test_lbfgs_takes_weights(kind):
    X, y, ours = problem(kind, 60)
    weights = np.arange(60) % 3
    model = ours(solver="lbfgs", max_iter=10, random_state=0, alpha=0.1)
    one = clone(model).fit(X, y, sample_weight=weights)
    other = clone(model).fit(X.repeat(weights, axis=0), y.repeat(weights, axis=0))
    assert_same_weights(one, other, 1e-6)


@pytest.mark.skipif(sklearn.__version__ < "1.7", reason="its MLP has no sample weights before 1.7")
@pytest.mark.parametrize("kind", KINDS)
def test_sample_weights_are_those_of_scikit_learn(kind):
    X, y, ours = problem(kind)
    parameters = {"max_iter": 20, "random_state": 0, "batch_size": 32, "alpha": 0.1, "tol": 0, "n_iter_no_change": 20}
    weights = np.random.default_rng(2).uniform(size=len(X))
    one, other = (each(**parameters).fit(X, y, sample_weight=weights) for each in (ours, THEIRS[ours]))
    assert_same_weights(one, other)


def test_class_weights_balance_rare_classes():
    X, y = datasets.make_classification(600, weights=[0.95], random_state=0)
    plain, balanced = (MLPClassifier(class_weight=w, random_state=0).fit(X, y) for w in (None, "balanced"))
    assert balanced.predict(X).mean() > plain.predict(X).mean()


def test_class_weights_are_sample_weights_of_lbfgs():
    X, y, ours = problem("multiclass", 60)
    weight = {"bird": 1, "cat": 2, "dog": 3}
    one = ours(solver="lbfgs", max_iter=5, random_state=0, class_weight=weight).fit(X, y)
    other = ours(solver="lbfgs", max_iter=5, random_state=0).fit(X, y, sample_weight=[weight[name] for name in y])
    assert_equal_weights(one, other)


# --- refusals -------------------------------------------------------------------------------------------------------

WRONG = [
    {"hidden_layer_sizes": -1}, {"hidden_layer_sizes": (3, 0)}, {"activation": "gelu"}, {"solver": "rmsprop"},
    {"alpha": -1}, {"batch_size": 0}, {"batch_size": "all"}, {"learning_rate": "cosine"}, {"learning_rate_init": 0},
    {"power_t": -1},
    {"max_iter": 0}, {"shuffle": "yes"}, {"random_state": "seed"}, {"tol": -1}, {"warm_start": "yes"}, {"momentum": 2},
    {"nesterovs_momentum": "yes"}, {"early_stopping": "yes"}, {"validation_fraction": 1}, {"beta_1": 1}, {"beta_2": -1},
    {"epsilon": 0}, {"n_iter_no_change": 0}, {"max_fun": 0},
]  # fmt: skip


@both
@pytest.mark.parametrize("parameters", WRONG, ids=str)
def test_a_wrong_parameter_is_refused_by_the_exception_of_scikit_learn(ours, parameters):
    X, y = [[0.0], [1.0]] * 10, [0, 1] * 10
    with pytest.raises(ValueError) as theirs:
        THEIRS[ours](**parameters).fit(X, y)
    with pytest.raises(theirs.type, match=next(iter(parameters))):
        ours(**parameters).fit(X, y)


@both
@pytest.mark.parametrize("extra", [{"dropout": 1}, {"layers": 3}, {"dtype": "int8"}, {"backend": "torch"}], ids=str)
def test_a_wrong_parameter_of_ours_is_refused(ours, extra):
    with pytest.raises(ValueError, match=next(iter(extra))):
        ours(**extra).fit([[0.0], [1.0]] * 10, [0, 1] * 10)


def test_another_loss_is_refused():
    with pytest.raises(ValueError, match="loss"):
        MLPRegressor(loss="hinge").fit([[0.0], [1.0]] * 10, [0, 1] * 10)


@pytest.mark.parametrize("data, match", [
    (([[np.nan]] * 4, [0, 1] * 2), "NaN"),
    (([[0.0]] * 4, [0, 1]), "inconsistent"),
    (([0.0, 1.0], [0, 1]), "1D array"),
    (([[0.0]] * 4, None), "y"),
    ((np.zeros((0, 2)), []), "0 sample"),
    ((np.array([[1j]] * 4), [0, 1] * 2), "omplex"),
], ids=str)  # fmt: skip
@both
def test_data_that_scikit_learn_refuses_are_refused_by_the_same_exception(ours, data, match):
    with pytest.raises(ValueError, match=match) as theirs:
        THEIRS[ours]().fit(*data)
    with pytest.raises(theirs.type, match=match):
        ours().fit(*data)


def test_a_continuous_y_is_refused_by_the_classifier():
    with pytest.raises(ValueError, match="Unknown label type"):
        MLPClassifier().fit([[0.0], [1.0]] * 10, np.linspace(0, 1, 20))


def test_a_y_of_several_classes_a_sample_is_refused_by_the_classifier():
    with pytest.raises(ValueError, match="several classes"):
        MLPClassifier().fit([[0.0], [1.0]] * 10, [[0, 1], [2, 3]] * 10)


def test_a_column_y_warns():
    X, y, ours = problem("regression")
    with pytest.warns(DataConversionWarning):
        model = ours(max_iter=1).fit(X, y[:, None])
    assert model.predict(X).shape == (len(X),)


def test_partial_fit_needs_the_classes_first_and_refuses_others():
    X, y, ours = problem("multiclass")
    with pytest.raises(ValueError, match="first call"):
        ours().partial_fit(X, y)
    model = ours().partial_fit(X, y, classes=["cat", "dog", "bird"])
    with pytest.raises(ValueError, match="cow"):
        model.partial_fit(X[:2], ["cat", "cow"])
    with pytest.raises(ValueError, match="classes"):
        model.partial_fit(X, y, classes=["cat", "dog"])
    model.partial_fit(X[:2], ["cat", "dog"])


@both
def test_partial_fit_is_for_the_stochastic_solvers(ours):
    assert not hasattr(ours(solver="lbfgs"), "partial_fit") and hasattr(ours(), "partial_fit")
    with pytest.raises(ValueError, match="early_stopping"):
        model = ours(early_stopping=True)
        model.partial_fit([[0.0], [1.0]], [0, 1], **({"classes": [0, 1]} if ours is MLPClassifier else {}))


def test_a_balanced_class_weight_is_refused_by_partial_fit():
    with pytest.raises(ValueError, match="balanced"):
        MLPClassifier(class_weight="balanced").partial_fit([[0.0], [1.0]], [0, 1], classes=[0, 1])


def test_a_warm_start_with_other_classes_is_refused():
    X, y, ours = problem("multiclass")
    model = ours(warm_start=True, max_iter=1).fit(X, y)
    with pytest.raises(ValueError, match="same classes"):
        model.fit(X[y != "dog"], y[y != "dog"])


@pytest.mark.parametrize("names", [("X_val",), ("y_val",), ("sample_weight_val",)], ids=str)
def test_half_a_validation_set_is_refused(names):
    X, y, ours = problem("multiclass")
    parts = {"X_val": X, "y_val": y, "sample_weight_val": np.ones(len(X))}
    with pytest.raises(ValueError, match="both X_val and y_val"):
        ours().fit(X, y, **{name: parts[name] for name in names})


def test_a_validation_set_of_another_width_is_refused():
    X, y, ours = problem("multiclass")
    with pytest.raises(ValueError, match="features"):
        ours().fit(X, y, X_val=X[:, :2], y_val=y)


@pytest.mark.parametrize("weights", [np.zeros(230), -np.ones(230), np.ones(3), np.ones((230, 2)), np.full(230, np.nan)],
                         ids=["zero", "negative", "short", "matrix", "nan"])  # fmt: skip
def test_wrong_sample_weights_are_refused(weights):
    X, y, ours = problem("binary")
    with pytest.raises(ValueError):
        ours(solver="lbfgs").fit(X, y, sample_weight=weights)


def test_a_gpu_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "cupy", None)
    with pytest.raises(BackendError, match="cupy"):
        MLPClassifier(backend="cupy").fit([[0.0], [1.0]] * 10, [0, 1] * 10)


@both
def test_predictions_before_fit_are_refused(ours):
    with pytest.raises(NotFittedError):
        ours().predict([[0.0]])


@pytest.mark.filterwarnings("ignore::minibp.errors.TrainingWarning")
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_training_that_diverges_is_refused_by_the_exception_of_scikit_learn():
    X, y, ours = problem("regression")
    model = ours(solver="sgd", learning_rate_init=1e6, max_iter=20)
    with pytest.raises(ValueError, match="non-finite parameter weights"):
        model.fit(X, y)


def test_a_batch_size_above_the_number_of_samples_warns():
    with pytest.warns(UserWarning, match="batch_size=100"):
        MLPClassifier(batch_size=100, max_iter=1).fit([[0.0], [1.0]] * 10, [0, 1] * 10)


def test_the_end_of_the_iterations_warns():
    with pytest.warns(sklearn.exceptions.ConvergenceWarning, match=r"Maximum iterations \(2\)"):
        MLPClassifier(max_iter=2).fit([[0.0], [1.0]] * 10, [0, 1] * 10)


def test_features_that_are_not_scaled_warn():
    X, y, ours = problem("binary")
    with pytest.warns(TrainingWarning, match="scale each feature"):
        ours(max_iter=1).fit(StandardScaler().fit_transform(X) * 1000, y)


def test_ctrl_c_ends_the_training_and_leaves_a_model(monkeypatch):
    def interrupted(*args, **kwargs):
        yield from itertools.islice(minibp.train(*args, **kwargs), 3)
        raise KeyboardInterrupt

    monkeypatch.setattr(descent, "train", interrupted)
    X, y, ours = problem("multiclass")
    with pytest.warns(UserWarning, match="interrupted by user"):
        model = ours().fit(X, y)
    assert model.n_iter_ == 3 and model.predict(X).shape == y.shape


def test_a_rate_that_falls_to_nothing_keeps_the_weights_finite():
    ours, theirs, *_ = pair("regression", solver="sgd", learning_rate="invscaling", power_t=60, max_iter=5)
    assert_same_weights(ours, theirs)


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_network_on_a_device_learns_the_same(solver, kind, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", standin)
    X, y, ours = problem(kind)
    options = {"solver": solver, "max_iter": 5, "random_state": 0, "early_stopping": solver != "lbfgs"}
    weights = np.arange(len(X)) % 3
    one, other = (ours(backend=name, **options).fit(X, y, sample_weight=weights) for name in ("numpy", "cupy"))
    assert other.network_.backend == "cupy"
    assert_same_weights(one, other)
    np.testing.assert_allclose(one.predict(X) == y, other.predict(X) == y)


def test_labels_of_several_a_sample_may_be_sparse():
    X, y, ours = problem("multilabel")
    one, other = (ours(max_iter=3, random_state=0).fit(X, t) for t in (y, sparse.csr_array(y)))
    assert_equal_weights(one, other)


def test_verbose_prints_a_line_an_epoch(capsys):
    MLPClassifier(max_iter=2, verbose=True).fit([[0.0], [1.0]] * 10, [0, 1] * 10)
    assert [line.split(",")[0] for line in capsys.readouterr().out.splitlines()] == ["Iteration 1", "Iteration 2"]
