"""The estimators in what scikit-learn has for all: pipelines, searches, calibration, ensembles, pickle."""

import pickle
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.6")

import joblib
import sklearn
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.ensemble import BaggingClassifier, VotingClassifier
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.impute import SimpleImputer
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV, cross_val_score
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from minibp import load, save
from minibp.errors import MinibpWarning
from minibp.sklearn import MLPClassifier, MLPRegressor

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*reached and the optimization"),
    pytest.mark.filterwarnings("ignore:lbfgs did not converge"),
]
both = pytest.mark.parametrize("ours", [MLPClassifier, MLPRegressor])


@pytest.fixture(scope="module")
def moons():
    return sklearn.datasets.make_moons(200, noise=0.2, random_state=0)


def small(**parameters):
    usual = {"hidden_layer_sizes": (16,), "max_iter": 60, "random_state": 0, "learning_rate_init": 0.02}
    return MLPClassifier(**usual | parameters)


@both
def test_a_clone_has_the_parameters_and_nothing_learned(ours, moons):
    model = ours(hidden_layer_sizes=(3,), dropout=0.2, layers=None, max_iter=2).fit(*moons)
    copied = clone(model)
    assert copied.get_params() == model.get_params() and not hasattr(copied, "network_")


@both
def test_parameters_can_be_set(ours):
    assert ours().set_params(alpha=1, dropout=0.5).get_params()["dropout"] == 0.5


def test_a_pipeline_scales_and_trains(moons):
    X, y = moons
    assert make_pipeline(StandardScaler(), small()).fit(X * 100, y).score(X * 100, y) > 0.8


def test_a_grid_search_in_two_processes_finds_a_parameter(moons):
    search = GridSearchCV(small(), {"hidden_layer_sizes": [(1,), (16,)]}, cv=2, n_jobs=2).fit(*moons)
    assert search.best_params_ == {"hidden_layer_sizes": (16,)} and search.best_score_ > 0.8


def test_a_halving_search_spends_epochs(moons):
    epochs = {"resource": "max_iter", "min_resources": 10, "max_resources": 90}
    search = HalvingGridSearchCV(small(), {"alpha": [1e-4, 1, 1000]}, **epochs, cv=2, random_state=0)
    assert search.fit(*moons).best_params_["alpha"] < 1000


def test_probabilities_can_be_calibrated(moons):
    assert CalibratedClassifierCV(small(dtype="float32"), cv=2).fit(*moons).score(*moons) > 0.8


def test_it_votes_with_others(moons):
    models = [("net", small()), ("line", GaussianNB())]
    assert VotingClassifier(models, voting="soft").fit(*moons).score(*moons) > 0.8


def test_bags_in_threads_give_what_bags_one_by_one_give(moons):
    weights = []
    for n_jobs in (1, 2):
        model = BaggingClassifier(small(max_iter=5), 4, random_state=0, n_jobs=n_jobs)
        with joblib.parallel_backend("threading"):
            model.fit(*moons)
        weights.append([net.coefs_[0] for net in model.estimators_])
    np.testing.assert_array_equal(*weights)


def test_cross_validation_in_threads_gives_what_it_gives_alone(moons):
    with joblib.parallel_backend("threading"):
        threaded = cross_val_score(small(max_iter=10), *moons, cv=4, n_jobs=2)
    np.testing.assert_array_equal(threaded, cross_val_score(small(max_iter=10), *moons, cv=4))


def test_sample_weights_are_routed_through_a_pipeline(moons):
    X, y = moons
    with sklearn.config_context(enable_metadata_routing=True):
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        model = make_pipeline(scaler, small(max_iter=5).set_fit_request(sample_weight=True))
        weighted = model.fit(X, y, sample_weight=np.where(y, 1.0, 50.0))
    plain = make_pipeline(StandardScaler(), small(max_iter=5)).fit(X, y)
    assert weighted.predict(X).mean() < plain.predict(X).mean()


def test_a_validation_set_is_routed_through_a_pipeline_and_transformed(moons):
    X, y = moons
    with sklearn.config_context(enable_metadata_routing=True):
        net = small(max_iter=5).set_fit_request(X_val=True, y_val=True)
        model = make_pipeline(StandardScaler(), net, transform_input=["X_val"])
        model.fit(X * 100, y, X_val=X * 100, y_val=y)
    assert model[-1].validation_scores_[-1] == model.score(X * 100, y)


def test_a_table_with_missing_values_and_strings_trains_in_a_pipeline():
    pd = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"size": rng.normal(size=100), "colour": rng.choice(["red", "blue"], 100)})
    y = np.where(table["colour"] == "red", "warm", "cold")
    table.loc[::7, "size"] = np.nan
    columns = make_column_transformer(
        (make_pipeline(SimpleImputer(), StandardScaler()), ["size"]), (OneHotEncoder(), ["colour"])
    )
    assert make_pipeline(columns, small()).fit(table, y).score(table, y) == 1


def test_names_of_columns_are_remembered_and_checked():
    pd = pytest.importorskip("pandas")
    table = pd.DataFrame({"a": [0.0, 1.0] * 10, "b": [1.0, 0.0] * 10})
    model = small(max_iter=2).fit(table, ["x", "y"] * 10)
    assert model.feature_names_in_.tolist() == ["a", "b"]
    with pytest.raises(ValueError, match="feature names"):
        model.predict(table.rename(columns={"a": "c"}))


def test_the_network_has_the_names_of_classes_and_columns_and_is_saved_with_them(tmp_path):
    pd = pytest.importorskip("pandas")
    table = pd.DataFrame({"a": [0.0, 1.0] * 10, "b": [1.0, 0.0] * 10})
    save(small(max_iter=2).fit(table, ["no", "yes"] * 10).network_, tmp_path / "net.safetensors")
    net = load(tmp_path / "net.safetensors")
    assert net.class_names == ["no", "yes"] and net.column_names == ["a", "b"]


@pytest.mark.parametrize("y", [[""] * 5 + ["x"] * 5, ["only"] * 10, np.eye(2, dtype=int)[[0, 1] * 5]], ids=str)
def test_classes_without_names_to_tell_apart_give_none(y):
    assert small(max_iter=2).fit(np.eye(10), y).network_.class_names is None


@both
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_a_pickle_predicts_the_same_and_goes_on_the_same(ours, solver, moons):
    X, y = moons
    model = ours(solver=solver, max_iter=4, random_state=0, warm_start=True, early_stopping=True).fit(X, y)
    copied = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(copied.predict(X), model.predict(X))
    for each in (model, copied):
        each.fit(X, y)
    for W, V in zip(model.coefs_, copied.coefs_, strict=True):
        np.testing.assert_array_equal(W, V)


@pytest.mark.parametrize("numba", [None, "numba"])
def test_a_pickle_predicts_and_trains_where_there_is_no_numba(moons, numba, replace_numba):
    X, y = moons
    model = small(max_iter=3, warm_start=True).fit(X, y)
    copied = pickle.loads(pickle.dumps(model))
    if numba is None:
        replace_numba(None)
    np.testing.assert_allclose(copied.predict_proba(X), model.predict_proba(X), rtol=1e-12)
    copied.fit(X, y)
    assert copied.network_.compiled == (numba is not None and model.network_.compiled)


def test_joblib_writes_and_reads_it(moons, tmp_path):
    model = small().fit(*moons)
    joblib.dump(model, tmp_path / "model.joblib")
    assert joblib.load(tmp_path / "model.joblib").score(*moons) == model.score(*moons)


def test_what_was_trained_on_a_gpu_is_unpickled_where_there_is_none(moons, monkeypatch):
    X, y = moons
    monkeypatch.setitem(sys.modules, "cupy", __import__("standin"))
    model = small(backend="cupy", early_stopping=True, max_iter=5, warm_start=True).fit(X, y)
    written, score = pickle.dumps(model), model.score(X, y)
    assert b"standin" not in written
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.warns(MinibpWarning, match="NumPy from now on"):
        read = pickle.loads(written)
    assert read.network_.backend == "numpy" and read.score(X, y) == pytest.approx(score)
    read.fit(X, y)


def test_it_is_drawn_in_a_notebook(moons):
    assert "MLPClassifier" in small()._repr_html_() and "Dense" in small(max_iter=1).fit(*moons).network_._repr_html_()


def test_a_missing_scikit_learn_names_the_extra():
    code = "import sys; sys.modules['sklearn'] = None; import minibp.sklearn"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "MissingExtraError: minibp.sklearn needs scikit-learn>=1.6" in done.stderr and "'sklearn'" in done.stderr
