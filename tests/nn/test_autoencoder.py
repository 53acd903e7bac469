"""SparseSupervisedAutoencoder: behaviour, reproducibility, state, errors."""

import copy
import io
import pickle
import threading
import tracemalloc

import joblib
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import coo_array, csc_array, csr_array, csr_matrix, random_array
from sklearn import config_context
from sklearn.base import clone
from sklearn.callback import ProgressBar, ScoringMonitor
from sklearn.datasets import load_digits, load_iris, make_classification
from sklearn.exceptions import NotFittedError
from sklearn.feature_selection import SelectFromModel
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skproj import SparseSupervisedAutoencoder
from skproj.datasets import add_probes
from skproj.nn._training._column_projection import ColumnProjection
from skproj.nn._training._samples import Samples, merge_duplicates
from skproj.projection import BALLS, hoyer_sparsity
from skproj.projection._registry import SPARSIFYING

SCHEDULES = ["progressive", "double", "double-rewind", "projected", "single"]


@pytest.fixture(scope="module")
def wide():
    """Two classes, 5 informative features first, 45 of pure noise."""
    X, y = make_classification(
        n_samples=300,
        n_features=50,
        n_informative=5,
        n_redundant=0,
        class_sep=1.5,
        shuffle=False,
        random_state=0,
    )
    X = StandardScaler().fit_transform(X).astype(np.float32)
    return X, np.array(["healthy", "ill"])[y]


def quick(**params):
    return SparseSupervisedAutoencoder(
        **{"max_epochs": 5, "random_state": 0, "eta": 0.5, **params}
    )


class Callback:
    """The hooks that most callbacks of the tests have no use for."""

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass


def state_of(model):
    return [tensor.numpy() for tensor in model.module_.state_dict().values()]


def test_defaults_find_the_informative_pixels_of_digits():
    """Without any tuning, real features are found among probes and classes told."""
    X, y = load_digits(return_X_y=True)
    X, _, is_probe = add_probes(X.astype(np.float32), 400, random_state=0)
    X_train, X_test, y_train, y_test = train_test_split(
        X, y, stratify=y, random_state=0
    )
    model = make_pipeline(StandardScaler(), SparseSupervisedAutoencoder(random_state=0))
    model.fit(X_train, y_train)
    support = model[-1].get_support()
    assert model.score(X_test, y_test) > 0.93
    assert 10 < support.sum() < 64
    assert np.mean(is_probe[support]) < 0.1


@pytest.mark.parametrize("projection", ["l2", "linf"])
def test_balls_without_zeros_are_refused(wide, projection):
    """They would select every feature."""
    with pytest.raises(ValueError, match="'projection' parameter of SparseSuper"):
        quick(projection=projection).fit(*wide)


@pytest.mark.parametrize("projection", SPARSIFYING)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_ball_and_schedule_selects_and_stays_consistent(
    wide, projection, schedule
):
    """Support, importances, weights and counts tell one story for all options."""
    X, y = wide
    # The l_inf norm of a column is the smallest of its norms.
    eta = {"l1inf": 0.02, "bilevel_l1inf": 0.05}.get(projection, 0.5)
    model = quick(eta=eta, projection=projection, schedule=schedule).fit(X, y)
    support = model.get_support()
    assert 0 < support.sum() < X.shape[1]
    assert model.n_selected_features_ == support.sum()
    assert_array_equal(model.get_support(indices=True), np.flatnonzero(support))
    assert_array_equal(model.feature_importances_ > 0, support)
    assert model.encoder_weights_.shape == (100, 50)
    assert_array_equal(np.any(model.encoder_weights_ != 0, axis=0), support)
    if schedule in ("projected", "single"):
        norm = BALLS[projection].norm(model.encoder_weights_)
        assert norm <= eta * (1 + 1e-6)
    changed = X.copy()
    changed[:, ~support] += 100.0
    assert_allclose(model.transform(changed), model.transform(X), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("noise", [0.5, 1.0, 4.0])
def test_noise_above_one_shortens_the_steps(wide, noise):
    """The first step of Adam moves every weight by the learning rate."""
    X, y = wide
    params = {"max_epochs": 1, "batch_size": len(X), "input_noise": noise}
    params |= {"schedule": "single", "eta": np.inf}
    start = quick(learning_rate_init=1e-12, **params).fit(X, y).encoder_weights_
    moved = quick(learning_rate_init=0.004, **params).fit(X, y).encoder_weights_
    step = 0.004 / max(noise, 1.0)
    assert_allclose(np.median(np.abs(moved - start)), step, rtol=1e-3)


def test_double_rewind_restarts_from_the_initial_weights(wide):
    """With a vanishing step, the kept weights are the initial ones, not shrunk ones."""
    X, y = wide
    params = {"learning_rate_init": 1e-12, "max_epochs": 1}
    untouched = quick(eta=np.inf, schedule="single", **params).fit(X, y)
    rewound = quick(schedule="double-rewind", **params).fit(X, y)
    continued = quick(schedule="double", **params).fit(X, y)
    support = rewound.get_support()
    assert_allclose(
        rewound.encoder_weights_[:, support],
        untouched.encoder_weights_[:, support],
        rtol=1e-5,
    )
    assert_array_equal(support, continued.get_support())
    assert np.abs(continued.encoder_weights_).max() < 0.1 * (
        np.abs(rewound.encoder_weights_).max()
    )


def test_eta_controls_the_number_of_features(wide):
    """Smaller is sparser; infinity keeps everything."""
    X, y = wide
    kept = [quick(eta=eta).fit(X, y).n_selected_features_ for eta in (0.1, 0.5, np.inf)]
    assert kept[0] < kept[1] < kept[2] == 50


def test_methods_agree_with_each_other(wide):
    """Probabilities, decision, labels and code are views of one latent code."""
    X, y = wide
    model = quick().fit(X, y)
    latent, proba = model.transform(X), model.predict_proba(X)
    assert latent.shape == proba.shape == (300, 2)
    assert_allclose(proba.sum(axis=1), 1.0, rtol=1e-5)
    decision = model.decision_function(X)
    assert_allclose(decision, latent[:, 1] - latent[:, 0], rtol=1e-5)
    assert_array_equal(model.predict(X), model.classes_[(decision > 0).astype(int)])
    assert_array_equal(model.predict(X), model.classes_[proba.argmax(axis=1)])
    assert model.score(X, y) > 0.85
    iris_X, iris_y = load_iris(return_X_y=True)
    iris = quick(eta=5.0).fit(iris_X, iris_y)
    assert_array_equal(iris.decision_function(iris_X), iris.transform(iris_X))


def test_reconstruction_learns_when_it_is_asked_to():
    """The error falls with the weight, well below that of the mean, which is 1."""
    rng = np.random.default_rng(0)
    factors = rng.standard_normal((400, 2))
    X = StandardScaler().fit_transform(factors @ rng.standard_normal((2, 12)))
    y = (factors[:, 0] > 0).astype(int)
    errors = [
        np.mean(
            (
                quick(
                    eta=np.inf,
                    schedule="single",
                    reconstruction_weight=weight,
                    reconstruction_loss=loss,
                    input_noise=0.1,
                    max_epochs=60,
                )
                .fit(X, y)
                .reconstruct(X)
                - X
            )
            ** 2
        )
        for weight, loss in [(1e-3, "huber"), (10.0, "huber"), (10.0, "squared_error")]
    ]
    assert errors[1] < 0.5 * errors[0]
    assert errors[1] < 0.02
    assert errors[2] < 0.02


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_precision_follows_X(wide, dtype):
    """Weights, outputs and importances have the dtype of X."""
    X, y = wide
    model = quick(reconstruction_weight=1.0).fit(X.astype(dtype), y)
    for array in (
        model.encoder_weights_,
        model.feature_importances_,
        model.transform(X.astype(dtype)),
        model.predict_proba(X.astype(dtype)),
        model.reconstruct(X.astype(dtype)),
    ):
        assert array.dtype == dtype
    assert torch.get_default_dtype() == torch.float32


def test_same_seed_same_result_and_threads_change_rounding_only(wide):
    """A fit is reproducible to the bit, and for two threads to rounding."""
    X, y = wide
    X = X.astype(np.float64)
    first, second = quick().fit(X, y), quick().fit(X, y)
    for a, b in zip(state_of(first), state_of(second), strict=True):
        assert_array_equal(a, b)
    two = quick(n_threads=2).fit(X, y)
    for a, b in zip(state_of(first), state_of(two), strict=True):
        assert_allclose(a, b, rtol=1e-6, atol=1e-9)
    other = quick(random_state=1).fit(X, y)
    assert not np.array_equal(state_of(first)[0], state_of(other)[0])


def test_concurrent_fits_do_not_disturb_each_other(wide):
    """Fits in threads draw from generators of their own."""
    X, y = wide
    expected = state_of(quick(max_epochs=2).fit(X, y))
    results = [None] * 6

    def work(i):
        results[i] = state_of(quick(max_epochs=2).fit(X, y))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(results))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in results:
        for a, b in zip(result, expected, strict=True):
            assert_array_equal(a, b)


def test_fit_leaves_global_state_alone(wide):
    """Neither global generator moves, and the number of threads is restored."""
    X, y = wide
    torch_before = torch.random.get_rng_state()
    numpy_before = np.random.get_state()[1].copy()  # noqa: NPY002
    threads_before = torch.get_num_threads()
    quick(n_threads=threads_before + 1, early_stopping=True).fit(X, y).predict(X)
    assert torch.equal(torch.random.get_rng_state(), torch_before)
    assert_array_equal(np.random.get_state()[1], numpy_before)  # noqa: NPY002
    assert torch.get_num_threads() == threads_before
    with pytest.raises(ValueError, match="diverged"):
        quick(n_threads=threads_before + 1, learning_rate_init=1e38).fit(X, y)
    assert torch.get_num_threads() == threads_before


def test_integer_weights_equal_repeated_samples_in_any_order(wide):
    """Weights are repetition, also with small batches, noise and held-back data."""
    X, y = wide
    X = X.astype(np.float64)
    rng = np.random.default_rng(0)
    weights = rng.integers(0, 4, len(X))
    params = {"batch_size": 16, "early_stopping": True, "class_weight": "balanced"}
    weighted = quick(**params).fit(X, y, sample_weight=weights)
    rows = rng.permutation(np.repeat(np.arange(len(X)), weights))
    repeated = quick(**params).fit(X[rows], y[rows])
    for a, b in zip(state_of(weighted), state_of(repeated), strict=True):
        assert_allclose(a, b, rtol=1e-9, atol=1e-12)


def test_class_weight_shifts_predictions(wide):
    """A heavy class is predicted more often; "balanced" equals its explicit form."""
    X, y = wide
    X, y = X[:, 20:], y  # only noise is left, so the prior decides
    light = quick(eta=np.inf).fit(X, y)
    heavy = quick(eta=np.inf, class_weight={"healthy": 20.0, "ill": 1.0}).fit(X, y)
    assert np.mean(heavy.predict(X) == "healthy") > np.mean(
        light.predict(X) == "healthy"
    )
    unbalanced = np.r_[np.flatnonzero(y == "ill"), np.flatnonzero(y == "healthy")[:30]]
    X, y = X[unbalanced], y[unbalanced]
    n_ill, n_healthy = np.sum(y == "ill"), np.sum(y == "healthy")
    explicit = {
        "ill": len(y) / (2 * n_ill),
        "healthy": len(y) / (2 * n_healthy),
    }
    for a, b in zip(
        state_of(quick(class_weight="balanced").fit(X, y)),
        state_of(quick(class_weight=explicit).fit(X, y)),
        strict=True,
    ):
        assert_array_equal(a, b)


def test_early_stopping_ends_a_stage_at_its_best_epoch(wide):
    """Fewer epochs than allowed, scores recorded, best weights kept."""
    X, y = wide
    model = quick(
        early_stopping=True, max_epochs=200, n_iter_no_change=3, schedule="single"
    ).fit(X, y)
    assert model.n_iter_ < 200
    assert len(model.validation_scores_) == len(model.loss_curve_) == model.n_iter_
    assert model.best_validation_score_ == max(model.validation_scores_)
    assert quick().fit(X, y).validation_scores_ is None


def test_warm_start_continues_and_refuses_another_shape(wide):
    """A second fit starts from the fitted weights; without it, from scratch."""
    X, y = wide
    params = {"learning_rate_init": 1e-12, "schedule": "single", "eta": np.inf}
    model = quick(warm_start=True).fit(X, y).set_params(**params)
    weights, latent = model.encoder_weights_, model.transform(X)
    model.fit(X, y)
    assert_allclose(model.encoder_weights_, weights, rtol=1e-5, atol=1e-8)
    assert_allclose(model.transform(X), latent, rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="warm_start"):
        model.set_params(hidden_layer_sizes=(7,)).fit(X, y)
    with pytest.raises(ValueError, match="warm_start"):
        model.set_params(hidden_layer_sizes=(100,), activation="relu").fit(X, y)
    with pytest.raises(ValueError, match="warm_start"):
        quick(warm_start=True).fit(X, y).fit(X, np.roll(np.repeat([0, 1, 2], 100), 5))


@pytest.mark.parametrize("sizes", [7, (7,), [20, 7], np.array([5]), ()])
def test_hidden_layer_sizes_shape_the_network(wide, sizes):
    """Integers, sequences and no hidden layer at all."""
    X, y = wide
    model = quick(hidden_layer_sizes=sizes, reconstruction_weight=1.0).fit(X, y)
    wanted = tuple(np.atleast_1d(sizes).astype(int)) if np.size(sizes) else ()
    widths = [
        layer.out_features
        for layer in model.module_.encoder
        if isinstance(layer, torch.nn.Linear)
    ]
    assert tuple(widths) == (*wanted, 2)
    assert model.reconstruct(X).shape == X.shape


def test_callable_projection_is_used_and_checked(wide):
    """A function of the user selects; a wrong shape is refused by name."""
    X, y = wide

    def keep_first(W, radius, *, axis):
        assert axis == 0
        W[:, int(radius) :] = 0.0
        return W

    model = quick(projection=keep_first, eta=3).fit(X, y)
    assert_array_equal(model.get_support(indices=True), [0, 1, 2])
    with pytest.raises(ValueError, match="projection must return"):
        quick(projection=lambda W, radius, axis: W[:, 1:]).fit(X, y)


def test_nothing_selected_warns_and_still_predicts(wide):
    """An empty support is said plainly."""
    X, y = wide
    with pytest.warns(UserWarning, match="No feature was selected.*eta"):
        model = quick(projection=lambda W, radius, axis: 0 * W).fit(X, y)
    assert model.n_selected_features_ == 0
    assert len(np.unique(model.predict(X))) == 1


@pytest.mark.parametrize("copier", ["pickle", "joblib", "deepcopy", "clone"])
def test_fitted_state_survives_copies(wide, copier):
    """Pickles, dumps and deep copies predict alike; a clone is unfitted."""
    X, y = wide
    model = quick().fit(X, y)
    if copier == "clone":
        with pytest.raises(NotFittedError):
            clone(model).predict(X)
        return
    if copier == "pickle":
        copied = pickle.loads(pickle.dumps(model))
    elif copier == "joblib":
        buffer = io.BytesIO()
        joblib.dump(model, buffer)
        buffer.seek(0)
        copied = joblib.load(buffer)
    else:
        copied = copy.deepcopy(model)
    assert_array_equal(copied.predict_proba(X), model.predict_proba(X))


def test_grid_search_over_eta_gives_the_same_scores_for_two_jobs(wide):
    """The search runs in a Pipeline, serially and in two processes, to the bit."""
    X, y = wide
    pipeline = make_pipeline(StandardScaler(), quick(max_epochs=2))
    grid = {"sparsesupervisedautoencoder__eta": [0.1, 0.5, 2.0]}
    one, two = (
        GridSearchCV(pipeline, grid, cv=3, n_jobs=n_jobs).fit(X, y) for n_jobs in (1, 2)
    )
    assert_array_equal(
        one.cv_results_["mean_test_score"], two.cv_results_["mean_test_score"]
    )
    assert_array_equal(one.predict_proba(X), two.predict_proba(X))


def test_sample_weight_is_routed_through_a_search(wide):
    """With metadata routing, weights reach the network in a Pipeline in a search."""
    X, y = wide
    weights = np.random.default_rng(0).uniform(0.1, 5.0, len(X))
    with config_context(enable_metadata_routing=True):
        model = quick().set_fit_request(sample_weight=True)
        model.set_score_request(sample_weight=True)
        grid = {"sparsesupervisedautoencoder__eta": [0.5]}
        search = GridSearchCV(make_pipeline(model), grid, cv=3)
        search.fit(X, y, sample_weight=weights)
        expected = quick().fit(X, y, sample_weight=weights)
    assert_array_equal(search.predict_proba(X), expected.predict_proba(X))
    assert not np.array_equal(
        search.predict_proba(X), quick().fit(X, y).predict_proba(X)
    )


def test_names_and_dataframes(wide):
    """Column names come in, latent names come out."""
    pd = pytest.importorskip("pandas")
    X, y = wide
    frame = pd.DataFrame(X, columns=[f"gene{j}" for j in range(X.shape[1])])
    model = quick().set_output(transform="pandas").fit(frame, y)
    latent = model.transform(frame)
    assert list(latent.columns) == list(model.get_feature_names_out())
    assert list(latent.columns) == [
        "sparsesupervisedautoencoder0",
        "sparsesupervisedautoencoder1",
    ]
    selected = model.feature_names_in_[model.get_support()]
    assert set(selected) <= set(frame.columns)
    selector = SelectFromModel(model, prefit=True, threshold=1e-12).fit(frame)
    assert_array_equal(selector.get_feature_names_out(), selected)


def test_callbacks_see_stages_and_epochs(wide):
    """A monitor scores every epoch with a model that can predict."""
    X, y = wide
    monitor = ScoringMonitor(scoring="accuracy")
    model = quick(max_epochs=3, keep_fraction=0.1, n_features_to_select=3)
    model.set_callbacks(monitor).fit(X, y)
    log = monitor.get_logs(select="most_recent").data_as_pandas
    scores = log.loc[log["task_id_path"].map(len) == 3, "accuracy"]
    # All the features, then 5 and 3 of the 50.
    assert len(scores) == model.n_iter_ == 3 * 3
    assert scores.between(0, 1).all()


def test_progress_bar_runs(wide, capsys):
    """scikit-learn's progress bar accepts the estimator."""
    X, y = wide
    quick(max_epochs=2).set_callbacks(ProgressBar()).fit(X, y)
    assert "100%" in capsys.readouterr().out


def test_callback_can_stop_a_stage(wide):
    """True from a callback at an epoch ends that stage, not the selection."""
    X, y = wide

    class StopAtOnce(Callback):
        def on_fit_task_end(self, estimator, context):
            return context.task_name == "epoch"

    params = {"n_features_to_select": 20, "keep_fraction": 0.5, "max_epochs": 10}
    model = quick(**params).set_callbacks(StopAtOnce()).fit(X, y)
    assert model.n_iter_ == 3  # with 50, 25 and 20 features
    assert model.n_selected_features_ == 20


def test_callback_can_stop_the_run(wide):
    """True at a stage goes to the last projection at once, without training on."""
    X, y = wide

    class StopAtFirstDescent(Callback):
        def on_fit_task_end(self, estimator, context):
            return context.task_name == "stage"

    model = quick(n_features_to_select=4).set_callbacks(StopAtFirstDescent()).fit(X, y)
    assert model.n_iter_ == 5
    assert model.n_selected_features_ == 4


def test_verbose_prints_a_line_for_each_epoch(wide, capsys):
    """The loss is printed, with the validation loss where there is one."""
    X, y = wide
    model = quick(verbose=True, max_epochs=2, early_stopping=True).fit(X, y)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == model.n_iter_ > 4
    assert all("loss" in line and "validation loss" in line for line in lines)


def test_read_only_fortran_and_strided_input_work(wide):
    """Layouts that scikit-learn and joblib hand out train to the same weights."""
    X, y = wide
    expected = state_of(quick().fit(X, y))
    frozen = X.copy()
    frozen.setflags(write=False)
    wide_rows = np.repeat(X, 2, axis=0)[::2]
    for layout in (frozen, np.asfortranarray(X), wide_rows):
        for a, b in zip(state_of(quick().fit(layout, y)), expected, strict=True):
            assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"eta": -1.0}, "eta"),
        ({"eta": 0.0}, "eta"),
        ({"eta": np.nan}, "eta"),
        ({"projection": "l7"}, "projection"),
        ({"activation": "sine"}, "activation"),
        ({"schedule": "triple"}, "schedule"),
        ({"reconstruction_loss": "l7"}, "reconstruction_loss"),
        ({"hidden_layer_sizes": (0,)}, "hidden_layer_sizes"),
        ({"hidden_layer_sizes": (2.5,)}, "hidden_layer_sizes"),
        ({"hidden_layer_sizes": [True]}, "hidden_layer_sizes"),
        ({"max_epochs": 0}, "max_epochs"),
        ({"input_noise": -0.1}, "input_noise"),
        ({"validation_fraction": 1.0}, "validation_fraction"),
        ({"keep_fraction": 1.0}, "keep_fraction"),
        ({"keep_fraction": 0.0}, "keep_fraction"),
        ({"n_features_to_select": 0}, "n_features_to_select"),
        ({"n_features_to_select": 2.5}, "n_features_to_select"),
        ({"batch_size": "all"}, "batch_size"),
        ({"reconstruction_weight": -1.0}, "reconstruction_weight"),
        ({"input_noise": [1.0]}, "input_noise"),
        ({"calibrate": "yes"}, "calibrate"),
        ({"n_threads": 0}, "n_threads"),
        ({"device": "abacus"}, "device"),
        ({"device": "meta"}, "device"),
    ],
)
def test_bad_parameters_are_named(wide, params, message):
    """One clear error, before any training."""
    X, y = wide
    model = quick(**params)
    with pytest.raises(ValueError, match=message):
        model.fit(X, y)
    assert not hasattr(model, "module_")


def test_bad_data_is_refused(wide):
    """NaN, one class, one class of positive weight, wrong lengths."""
    X, y = wide
    holes = X.copy()
    holes[3, 4] = np.nan
    with pytest.raises(ValueError, match=r"X contains NaN[\s\S]*imputer"):
        quick().fit(holes, y)
    with pytest.raises(ValueError, match="two classes"):
        quick().fit(X, np.zeros(len(X), dtype=int))
    with pytest.raises(ValueError, match="two classes"):
        quick().fit(X, y, sample_weight=(y == "ill").astype(float))
    with pytest.raises(ValueError, match=r"Negative values.*sample_weight"):
        quick().fit(X, y, sample_weight=-np.ones(len(X)))
    with pytest.raises(ValueError, match="inconsistent"):
        quick().fit(X, y[:-1])
    with pytest.raises(ValueError, match="features"):
        quick().fit(X, y).predict(X[:, 1:])


def test_unscaled_data_that_diverges_says_so(wide):
    """The advice is in the message: scale X, or take smaller steps."""
    X, y = wide
    with pytest.raises(ValueError, match=r"diverged.*StandardScaler.*learning_rate"):
        quick(reconstruction_loss="squared_error", reconstruction_weight=1.0).fit(
            X * 1e30, y
        )


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_trains_and_its_pickle_opens_on_the_cpu(wide):
    """The device is used, results are alike, and pickles hold CPU tensors."""
    X, y = wide
    model = quick(device="cuda", eta=2.0, max_epochs=20).fit(X, y)
    assert model.module_.encoder[0].weight.device.type == "cuda"
    assert model.score(X, y) > 0.85
    copied = pickle.loads(pickle.dumps(model))
    assert copied.module_.encoder[0].weight.device.type == "cpu"
    assert_allclose(
        copied.set_params(device="cpu").predict_proba(X),
        model.predict_proba(X),
        atol=1e-5,
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "kind", ["signs", "bits", "one-hot", "counts", "normal", "timestamp", "huge"]
)
def test_merge_duplicates_finds_the_distinct_rows_and_no_others(kind, dtype):
    """Data of few values must not collide; weights of equal rows are added up."""
    rng = np.random.default_rng(0)
    X = {
        "signs": rng.choice([-1.0, 1.0], (2000, 12)),
        "bits": rng.integers(0, 2, (3000, 60)),
        "one-hot": np.eye(27)[rng.integers(27, size=400)],
        "counts": rng.poisson(0.5, (2000, 8)),
        "normal": np.repeat(rng.standard_normal((500, 5)), 2, axis=0),
        "timestamp": np.c_[np.full(400, 1.7e18), rng.integers(0, 3, (400, 5))],
        "huge": rng.choice([-1e38, 1.0, 2.0, 1e38], (400, 6)),
    }[kind]
    if kind == "huge" and dtype == np.float64:
        X = np.where(np.abs(X) > 3, X * 1e270, X)
    X = X.astype(dtype)
    labels = rng.integers(0, 2, len(X))
    weight = rng.uniform(0, 1, len(X)) * (rng.uniform(size=len(X)) > 0.1)
    rows, merged = merge_duplicates(X, labels, weight)
    present = weight > 0
    table = np.c_[X, labels][present]
    distinct, inverse = np.unique(table, axis=0, return_inverse=True)
    expected = np.bincount(inverse.ravel(), weights=weight[present])
    found = np.c_[X, labels][rows]
    order = np.lexsort(found.T[::-1])
    assert_array_equal(found[order], distinct)
    assert_allclose(merged[order], expected, rtol=1e-12)


def test_rounding_of_the_data_changes_rounding_of_the_model_only(wide):
    """One unit in the last place of X must not reorder the samples."""
    X, y = wide
    X = X.astype(np.float64)
    for other in (np.nextafter(X, np.inf), np.where(X == 0, -0.0, X), X[::-1]):
        labels = y[::-1] if other.base is X else y
        for a, b in zip(
            state_of(quick().fit(X, y)),
            state_of(quick().fit(other, labels)),
            strict=True,
        ):
            assert_allclose(a, b, rtol=1e-6, atol=1e-9)


def test_failed_fit_leaves_the_model_as_it_was(wide):
    """After an error the old model still predicts; an unfitted one stays unfitted."""
    X, y = wide
    model = quick().fit(X, y)
    expected = model.predict_proba(X)
    with pytest.raises(ValueError, match="diverged"):
        model.set_params(learning_rate_init=1e38).fit(X[:, :5], y)
    assert model.n_features_in_ == X.shape[1]
    assert_array_equal(model.predict_proba(X), expected)
    fresh = quick()
    with pytest.raises(ValueError, match="two classes"):
        fresh.fit(X, np.zeros(len(X)))
    assert not [name for name in vars(fresh) if name.endswith("_")]


@pytest.mark.parametrize(
    "class_weight",
    [{"healthy": 0, "ill": 1}, {"healthy": -1, "ill": 1}, {"healthy": np.nan}],
)
def test_bad_class_weight_is_named(wide, class_weight):
    """Weights that would break the training are refused before it."""
    X, y = wide
    with pytest.raises(ValueError, match="class_weight must be positive"):
        quick(class_weight=class_weight).fit(X, y)


def test_huge_weights_are_only_relative(wide):
    """The scale of the weights does not matter, even where sums would overflow."""
    X, y = wide
    X = X.astype(np.float64)
    for a, b in zip(
        state_of(quick().fit(X, y, sample_weight=np.full(len(X), 1e308))),
        state_of(quick().fit(X, y)),
        strict=True,
    ):
        assert_allclose(a, b, rtol=1e-9)


def test_early_stopping_without_samples_to_hold_back_says_so(wide):
    """The message names our parameters, not those of a helper."""
    X, y = wide
    lonely = np.where(np.arange(len(X)) == 0, "rare", y)
    with pytest.raises(ValueError, match=r"early_stopping.*validation_fraction"):
        quick(early_stopping=True).fit(X, lonely)


def test_callback_may_keep_the_model_of_an_epoch(wide):
    """Models handed to callbacks are snapshots with all that prediction needs."""
    X, y = wide

    class KeepModels(Callback):
        def __init__(self):
            self.models = []

        def on_fit_task_end(self, estimator, context, *, fitted_estimator):
            if context.task_name == "epoch":
                self.models.append(fitted_estimator)

    keeper = KeepModels()
    quick(max_epochs=2).set_callbacks(keeper).fit(X, y)
    first, last = keeper.models[0], keeper.models[-1]
    assert not np.array_equal(first.predict_proba(X), last.predict_proba(X))
    assert first.get_support().sum() > last.get_support().sum()


def test_values_beyond_the_precision_of_the_model_are_refused(wide):
    """A float32 network cannot see what only float64 holds."""
    X, y = wide
    with pytest.raises(ValueError, match="beyond the range"):
        quick().fit(X, y).predict(X.astype(np.float64) * 1e300)


def walk(model, X, y, etas=None):
    """Yield a fitted model for each radius of one run from dense to sparse."""
    X, y = model._validate_data(X, y)
    context = model._init_callback_context(max_subtasks=None)
    problem, trainer = model._prepare(X, y, None, context)
    for state in model._train_path(problem, trainer, etas):
        fitted = clone(model)
        fitted.n_features_in_ = X.shape[1]
        fitted._set_state(state)
        yield fitted


def assert_same_model(one, other, X):
    """Weights, support, history and predictions agree to the bit."""
    for a, b in zip(state_of(one), state_of(other), strict=True):
        assert_array_equal(a, b)
    assert one.eta_ == other.eta_
    assert one.loss_curve_ == other.loss_curve_
    assert_array_equal(one.feature_importances_, other.feature_importances_)
    assert_array_equal(one.encoder_weights_, other.encoder_weights_)
    assert_array_equal(one.predict_proba(X), other.predict_proba(X))


SMALL = {"hidden_layer_sizes": (20,), "max_epochs": 2}


@pytest.mark.parametrize("params", [{}, {"early_stopping": True}])
def test_a_fit_equals_the_outcome_of_the_path_at_its_radius(wide, params):
    """Decreasing radii, fewer and fewer features, each what a fit of its own gives."""
    X, y = wide
    model = quick(**SMALL, **params)
    path = list(walk(clone(model), X, y))
    etas = np.array([stop.eta_ for stop in path])
    counts = [stop.n_selected_features_ for stop in path]
    assert len(path) > 5
    assert np.all(np.diff(etas) < 0)
    assert counts == sorted(counts, reverse=True)
    for stop in path[::4]:
        assert_same_model(clone(model).set_params(eta=stop.eta_).fit(X, y), stop, X)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_fit_equals_the_result_of_a_run_with_several_targets(wide, schedule):
    """What a run passes on its way does not change where it gets."""
    X, y = wide
    model = quick(schedule=schedule, **SMALL)
    etas = [np.inf, 20.0, 3.0, 2.9, 0.5, 1e-3]
    for eta, stop in zip(etas, walk(clone(model), X, y, etas), strict=True):
        assert_same_model(clone(model).set_params(eta=eta).fit(X, y), stop, X)


def test_a_larger_eta_is_the_same_run_stopped_earlier(wide):
    """Until its last projection, the history is that of any smaller radius."""
    X, y = wide
    sparse, dense = (quick(eta=eta, **SMALL).fit(X, y) for eta in (0.5, 3.0))
    shared = dense.n_iter_ - SMALL["max_epochs"]
    assert 0 < shared < sparse.n_iter_
    assert dense.loss_curve_[:shared] == sparse.loss_curve_[:shared]
    assert set(sparse.get_support(indices=True)) < set(dense.get_support(indices=True))


def clip_columns(W, radius, axis):
    """Shorten the columns by one length, as a callable without a known ball."""
    norms = np.linalg.norm(W, axis=axis)
    threshold = norms.max() / (1.0 + radius)
    return W * np.maximum(1.0 - threshold / np.where(norms > 0, norms, 1.0), 0.0)


@pytest.mark.parametrize("k", [1, 2, 7, 49, 50])
@pytest.mark.parametrize("projection", [*SPARSIFYING, clip_columns])
def test_n_features_to_select_is_exact(wide, projection, k):
    """Every ball, and a callable, keeps the number that was asked for."""
    X, y = wide
    for schedule in ("progressive", "double"):
        model = quick(
            projection=projection, n_features_to_select=k, schedule=schedule, **SMALL
        ).fit(X, y)
        assert model.n_selected_features_ == model.get_support().sum() == k
        assert len(model.module_.encoder[0].weight.T) == k


@pytest.mark.parametrize(
    "projection",
    [
        "l12",
        pytest.param(lambda W, radius, axis: W, id="keeps all"),
        pytest.param(lambda W, r, axis: np.sign(W) * min(r, 1.0), id="ties all"),
    ],
)
def test_n_features_to_select_is_exact_where_columns_are_tied(wide, projection):
    """Twins, constant columns and projections that tell no column from another."""
    X, y = wide
    X = np.c_[X[:, :10], X[:, :10], np.zeros((len(X), 10), dtype=X.dtype)]
    model = quick(projection=projection, n_features_to_select=3, **SMALL).fit(X, y)
    assert model.n_selected_features_ == 3


def test_n_features_to_select_that_cannot_be_reached(wide):
    """More than there are is an error, more than is kept a warning to the caller."""
    X, y = wide

    def at_most_two(W, radius, axis):
        return np.where(np.arange(W.shape[1]) < min(2, radius), W, 0.0)

    with pytest.raises(ValueError, match=r"n_features_to_select=51 exceeds.* 50"):
        quick(n_features_to_select=51).fit(X, y)
    with pytest.warns(
        UserWarning, match="Only 2 features.*n_features_to_select=3"
    ) as w:
        model = quick(n_features_to_select=3, projection=at_most_two).fit(X, y)
    assert w[0].filename == __file__
    assert_array_equal(model.get_support(indices=True), [0, 1])
    with pytest.raises(ValueError, match=r'schedule="projected".*n_features_to_select'):
        quick(n_features_to_select=3, schedule="projected").fit(X, y)


@pytest.mark.parametrize("layout", [csr_array, csc_array, coo_array, csr_matrix])
def test_sparse_input_gives_the_model_of_dense_input(wide, layout):
    """The batches are the same numbers, so every bit is the same."""
    X, y = wide
    X = np.where(np.abs(X) > 1.0, X, 0.0)
    params = {"eta": 2.0, "early_stopping": True, "calibrate": True, **SMALL}
    dense = quick(**params).fit(X, y)
    assert dense.n_selected_features_ < 50
    thin = quick(**params).fit(layout(X), y)
    assert_same_model(thin, dense, X)
    assert thin.temperature_ == dense.temperature_
    assert_array_equal(thin.predict_proba(layout(X)), dense.predict_proba(X))
    assert_array_equal(thin.transform(layout(X)), dense.transform(X))


def test_sparse_input_stays_sparse():
    """Neither a fit nor a prediction with all the columns makes it dense at once."""
    rng = np.random.default_rng(0)
    X = random_array((4000, 10000), density=1e-3, dtype=np.float32, rng=rng)
    y = rng.integers(0, 2, 4000)
    params = {"hidden_layer_sizes": (2,), "max_epochs": 1, "keep_fraction": 0.05}
    model = quick(n_features_to_select=5, early_stopping=True, **params)
    whole = quick(eta=np.inf, schedule="single", **params)
    tracemalloc.start()
    for estimator in (model, whole):
        estimator.fit(X, y).predict(X)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert model.n_selected_features_ == 5
    assert peak < 0.5 * 4 * np.prod(X.shape)


def stream(X, y, n_parts=6):
    """Cut the shuffled samples into parts."""
    order = np.random.default_rng(0).permutation(len(X))
    return [(X[rows], y[rows]) for rows in np.array_split(order, n_parts)]


def test_partial_fit_learns_from_a_stream(wide):
    """With a falling radius, informative features are left and tell the classes."""
    X, y = wide
    model = quick()
    for eta in np.geomspace(10.0, 0.5, 20):
        model.set_params(eta=eta)
        for part in stream(X, y):
            model.partial_fit(*part, classes=["ill", "healthy"])
    assert model.n_selected_features_ <= 6
    assert np.mean(model.get_support(indices=True) < 5) > 0.6
    assert model.score(X, y) > 0.88
    assert len(model.loss_curve_) == model.n_iter_ == 20 * 6
    model.set_params(n_features_to_select=3).partial_fit(*part)
    assert model.n_selected_features_ == 3
    assert model.partial_fit(*part).encoder_weights_.dtype == np.float32
    assert model.partial_fit(X.astype(float), y).encoder_weights_.dtype == np.float32


def test_partial_fit_needs_no_more_memory_for_more_parts(wide):
    """Nothing of a part is kept."""
    X, y = wide
    model = quick().partial_fit(X, y, classes=np.unique(y))
    sizes, peaks = [], []
    for n_parts in (3, 30):
        tracemalloc.start()
        for _ in range(n_parts):
            model.partial_fit(X.copy(), y)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        sizes.append(len(pickle.dumps(model)) - 9 * model.n_iter_)  # its loss curve
    assert peaks[1] < peaks[0] + 3 * X.nbytes
    assert abs(sizes[1] - sizes[0]) < 500


def test_partial_fit_continues_after_a_fit_and_a_pickle(wide):
    """A fit is continued from its weights, and a copy goes on like the original."""
    X, y = wide
    model = quick(eta=3.0, max_epochs=20).fit(X, y)
    score, weights = model.score(X, y), model.encoder_weights_
    model.set_params(learning_rate_init=1e-6, eta=np.inf).partial_fit(X[:10], y[:10])
    assert_allclose(model.encoder_weights_, weights, atol=1e-5)
    assert model.score(X, y) == pytest.approx(score, abs=0.01)
    model.set_params(learning_rate_init=0.004, eta=3.0)
    copied = pickle.loads(pickle.dumps(model))
    for part in stream(X, y):
        model.partial_fit(*part)
        copied.partial_fit(*part)
    assert_same_model(model, copied, X)
    assert not np.allclose(model.encoder_weights_, weights, atol=1e-3)
    model.fit(X, y)
    assert_same_model(model, quick(eta=3.0).set_params(max_epochs=20).fit(X, y), X)


def test_partial_fit_after_a_failure_goes_on_from_what_was_fitted(wide):
    """Weights that became infinite are not trained on."""
    X, y = wide
    model = quick(eta=3.0).fit(X, y).partial_fit(X, y)
    expected = model.predict_proba(X)
    with pytest.raises(ValueError, match="diverged"):
        model.set_params(learning_rate_init=1e38).partial_fit(X, y)
    assert_array_equal(model.predict_proba(X), expected)
    model.set_params(learning_rate_init=1e-6, eta=np.inf).partial_fit(X, y)
    assert_allclose(model.predict_proba(X), expected, atol=1e-3)


def test_partial_fit_counts_samples_of_weight_zero_as_absent(wide):
    """And weights otherwise matter, also those of the classes."""
    X, y = wide
    weights = np.random.default_rng(0).integers(0, 3, len(X))
    classes = np.unique(y)
    first = quick().partial_fit(X, y, classes=classes, sample_weight=weights)
    here = weights > 0
    second = quick().partial_fit(
        X[here], y[here], classes=classes, sample_weight=weights[here]
    )
    assert_same_model(first, second, X)
    class_weight = {"healthy": 1.0, "ill": 2.0}
    by_class = quick(class_weight=class_weight).partial_fit(X, y, classes=classes)
    by_sample = quick().partial_fit(
        X, y, classes=classes, sample_weight=[class_weight[label] for label in y]
    )
    assert_same_model(by_class, by_sample, X)
    plain = quick().partial_fit(X, y, classes=classes)
    assert not np.array_equal(plain.predict_proba(X), by_class.predict_proba(X))


@pytest.mark.parametrize("params", [{"early_stopping": True}, {"calibrate": True}])
def test_partial_fit_holds_nothing_back(wide, params):
    """A part may be a single sample."""
    X, y = wide
    model = quick(**params).partial_fit(X, y, classes=np.unique(y))
    assert_same_model(model, quick().partial_fit(X, y, classes=np.unique(y)), X)
    assert model.partial_fit(X[:1], y[:1]).temperature_ == 1.0


def test_partial_fit_says_what_is_wrong(wide):
    """Classes that are missing, change or do not hold the labels, and the like."""
    X, y = wide
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        quick().partial_fit(X, y)
    with pytest.raises(ValueError, match=r"not in classes: \['healthy'\]"):
        quick().partial_fit(X, y, classes=["ill", "well"])
    with pytest.raises(ValueError, match="at least two classes"):
        quick().partial_fit(X, y, classes=["ill"])
    with pytest.raises(ValueError, match=r"balanced.*partial_fit"):
        quick(class_weight="balanced").partial_fit(X, y, classes=np.unique(y))
    model = quick().partial_fit(X, y, classes=np.unique(y))
    with pytest.raises(ValueError, match="not the same as on the last call"):
        model.partial_fit(X, y, classes=["healthy", "ill", "dead"])
    with pytest.raises(ValueError, match="not in classes"):
        model.partial_fit(X, np.where(y == "ill", "dead", y))
    with pytest.raises(ValueError, match="50 features"):
        model.partial_fit(X[:, 1:], y)
    fitted = quick().fit(X, y).set_params(hidden_layer_sizes=(7,))
    with pytest.raises(ValueError, match=r"partial_fit need.*hidden_layer_sizes"):
        fitted.partial_fit(X, y)


def test_compact_model_takes_the_selected_features_only():
    """Equal outputs from fewer columns, and a size to match."""
    pd = pytest.importorskip("pandas")
    X, y = make_classification(n_samples=80, n_features=4000, random_state=0)
    X = pd.DataFrame(X, columns=[f"gene{j}" for j in range(X.shape[1])])
    model = quick(n_features_to_select=6, reconstruction_weight=1.0).fit(X, y)
    compact = model.compact()
    support = model.get_support()
    few = X.loc[:, support]
    for method in ("predict_proba", "transform", "decision_function"):
        assert_allclose(
            getattr(compact, method)(few), getattr(model, method)(X), atol=1e-6
        )
    assert_array_equal(compact.predict(few), model.predict(X))
    assert_allclose(
        compact.reconstruct(few), model.reconstruct(X)[:, support], atol=1e-6
    )
    assert not model.reconstruct(X)[:, ~support].any()
    assert compact.n_features_in_ == compact.n_selected_features_ == 6
    assert compact.get_support().all()
    assert_array_equal(compact.feature_names_in_, few.columns)
    assert_array_equal(compact.encoder_weights_, model.encoder_weights_[:, support])
    assert len(pickle.dumps(compact)) < 25_000 < 50_000 < len(pickle.dumps(model))
    assert model.n_features_in_ == 4000
    compact.partial_fit(few, y)


def test_compact_model_of_a_stream_leaves_its_network_behind(wide):
    """The network of all features is for training only."""
    X, y = wide
    X = np.tile(X, (1, 40))
    model = quick(n_features_to_select=5).partial_fit(X, y, classes=np.unique(y))
    size, compact = len(pickle.dumps(model)), model.compact()
    assert len(pickle.dumps(compact)) < 0.05 * size
    assert_allclose(
        compact.predict_proba(X[:, model.get_support()]),
        model.predict_proba(X),
        atol=1e-6,
    )


def test_compact_model_without_features_is_refused(wide):
    """There would be nothing to predict from."""
    X, y = wide
    with pytest.warns(UserWarning, match="No feature"):
        model = quick(projection=lambda W, radius, axis: 0 * W).fit(X, y)
    with pytest.raises(ValueError, match="No feature is selected"):
        model.compact()
    with pytest.raises(NotFittedError):
        quick().compact()


def test_calibration_improves_the_probabilities_of_new_samples():
    """A network that is far too sure of itself is cooled down."""
    X, y = make_classification(n_samples=600, n_features=40, flip_y=0.4, random_state=0)
    X = StandardScaler().fit_transform(X)
    X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
    params = {"eta": np.inf, "input_noise": 0.0, "max_epochs": 60}
    model = quick(calibrate=True, validation_fraction=0.3, **params)
    model.fit(X_train, y_train)
    assert model.temperature_ > 1.5
    proba = model.predict_proba(X_test)
    assert_allclose(proba.sum(axis=1), 1.0, rtol=1e-6)
    assert_array_equal(model.classes_[proba.argmax(axis=1)], model.predict(X_test))
    calibrated = log_loss(y_test, proba)
    model.temperature_ = 1.0
    assert calibrated < 0.8 * log_loss(y_test, model.predict_proba(X_test))
    assert quick(**params, schedule="single").fit(X, y).temperature_ == 1.0
    lonely = np.where(np.arange(len(X)) == 0, 2, y)
    with pytest.raises(ValueError, match=r"calibrate=True.*validation_fraction"):
        quick(calibrate=True).fit(X, lonely)


def test_hundred_classes_of_five_samples():
    """Many small classes are told apart."""
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(100), 5)
    X = 3.0 * rng.standard_normal((100, 30))[y] + rng.standard_normal((500, 30))
    X = StandardScaler().fit_transform(X)
    model = quick(eta=np.inf, max_epochs=40, schedule="single").fit(X[::2], y[::2])
    assert_array_equal(model.classes_, np.arange(100))
    assert model.predict_proba(X).shape == (500, 100)
    assert model.score(X[1::2], y[1::2]) > 0.7
    sparse = quick(n_features_to_select=10).fit(X, y)
    assert sparse.transform(X).shape == (500, 100)
    assert sparse.score(X, y) > 0.3


def test_reconstruction_of_a_progressive_schedule(wide):
    """The selected features are rebuilt better than by zero, the others are zero."""
    factors = np.random.default_rng(0).standard_normal((300, 2))
    X = np.repeat(factors, 6, axis=1) + 0.3 * wide[0][:, :12]
    X = StandardScaler().fit_transform(X)
    y = (factors[:, 0] > 0).astype(int)
    model = quick(n_features_to_select=6, reconstruction_weight=1.0).fit(X, y)
    support = model.get_support()
    reconstruction = model.reconstruct(X)
    assert not reconstruction[:, ~support].any()
    assert np.mean((reconstruction - X)[:, support] ** 2) < 0.6
    with pytest.raises(ValueError, match="fit with reconstruction_weight > 0"):
        quick().fit(X, y).reconstruct(X)


def test_weights_before_fit_are_missing(wide):
    """As every fitted attribute of scikit-learn."""
    assert not hasattr(quick(), "encoder_weights_")
    with pytest.raises(NotFittedError, match="not fitted yet"):
        quick().encoder_weights_  # noqa: B018
    assert hasattr(quick().fit(*wide), "encoder_weights_")


def test_decoder_learns_from_the_part_where_it_is_asked_to(wide):
    """`reconstruction_weight` may change between parts, in both directions."""
    X, y = wide
    model = quick(random_state=0).partial_fit(X, y, classes=np.unique(y))
    with pytest.raises(ValueError, match="no trained decoder"):
        model.reconstruct(X)
    before = copy.deepcopy(model._stream_.module.decoder.state_dict())
    model.set_params(reconstruction_weight=1.0).partial_fit(X, y)
    learned = copy.deepcopy(model._stream_.module.decoder.state_dict())
    assert any(not torch.equal(before[name], learned[name]) for name in before)
    model.reconstruct(X)
    model.set_params(reconstruction_weight=0.0).partial_fit(X, y)
    after = model._stream_.module.decoder.state_dict()
    assert all(torch.equal(after[name], learned[name]) for name in after)


def test_reconstruct_asks_the_fit_not_the_parameter(wide):
    """A parameter that was changed since makes no decoder, and takes none away."""
    X, y = wide
    model = quick().fit(X, y).set_params(reconstruction_weight=0.1)
    with pytest.raises(ValueError, match="no trained decoder"):
        model.reconstruct(X)
    model.fit(X, y).set_params(reconstruction_weight=0.0).reconstruct(X)


def test_partial_fit_refuses_other_layers(wide):
    """The network of the first part cannot change its shape."""
    X, y = wide
    model = quick().partial_fit(X, y, classes=np.unique(y))
    for change in ({"hidden_layer_sizes": (33,)}, {"activation": "tanh"}):
        changed = copy.deepcopy(model).set_params(**change)
        with pytest.raises(ValueError, match=r"hidden_layer_sizes.*differ"):
            changed.partial_fit(X, y)


def test_failed_part_is_as_if_it_had_not_been(wide):
    """A projection that fails in a later part leaves the network as it was."""
    X, y = wide
    calls = []

    def fails_later(W, radius, axis=0):
        calls.append(radius)
        if len(calls) == 4:
            raise RuntimeError("no projection today")
        return W

    model = quick(projection=fails_later, random_state=0)
    model.partial_fit(X, y, classes=np.unique(y)).partial_fit(X, y)
    before = model.decision_function(X)
    with pytest.raises(RuntimeError, match="today"):
        model.partial_fit(X, y)
    assert_array_equal(model.decision_function(X), before)
    model.partial_fit(X, y)  # from the network of the second part
    assert model.n_iter_ == 3


def test_huge_weights_of_a_part_are_only_relative(wide):
    """Weights whose sum overflows."""
    X, y = wide
    fits = [
        quick(random_state=0)
        .partial_fit(X, y, classes=np.unique(y), sample_weight=weight)
        .decision_function(X)
        for weight in (None, np.full(len(X), 1e308))
    ]
    assert_allclose(fits[1], fits[0])


def test_narrowing_keeps_the_rows_that_are_used():
    """Training and validation samples do not each copy the rows of both."""
    X = torch.arange(24.0).reshape(6, 4)
    samples = Samples(
        X, y=torch.zeros(2), weight=torch.ones(2), rows=torch.tensor([4, 1])
    )
    narrow = samples.keep_columns(np.array([3, 0]))
    assert narrow.X.tolist() == [[19.0, 16.0], [7.0, 4.0]]
    assert_array_equal(narrow.batch(torch.tensor([1]))[0], [[7.0, 4.0]])


@pytest.mark.parametrize(
    "schedule", ["progressive", "double", "double-rewind", "projected", "single"]
)
def test_hoyer_projection_takes_eta_as_a_sparsity(wide, schedule):
    """The norms of the columns, removed ones included, have it."""
    X, y = wide
    params = {"projection": "hoyer", "schedule": schedule, "eta": 0.8}
    model = quick(**params).fit(X, y)
    assert model.eta_ == 0.8
    assert hoyer_sparsity(model.feature_importances_) == pytest.approx(0.8, abs=1e-7)
    removed = ~model.get_support()
    assert 0 < np.count_nonzero(removed) < len(removed)
    assert not model.encoder_weights_[:, removed].any()
    sparser = quick(**{**params, "eta": 0.95}).fit(X, y)
    assert sparser.n_selected_features_ < model.n_selected_features_


def test_hoyer_projection_of_parts_and_for_a_number_of_features(wide):
    """`partial_fit` keeps the sparsity; a number of features leads to one."""
    X, y = wide
    model = quick(projection="hoyer", eta=0.9)
    for _ in range(3):
        model.partial_fit(X, y, classes=np.unique(y))
        level = hoyer_sparsity(model.feature_importances_)
        assert level == pytest.approx(0.9, abs=1e-7)
    model = quick(projection="hoyer", n_features_to_select=7).fit(X, y)
    assert model.n_selected_features_ == 7
    level = hoyer_sparsity(model.feature_importances_)
    assert level == pytest.approx(model.eta_, abs=1e-7)


def test_hoyer_radius_with_equal_norms():
    """At least as many columns stay as were asked for, and all of the tied ones."""
    projection = ColumnProjection("hoyer", n_features=6, n_threads=1)
    W = np.array([[3.0, 1.0, -1.0, 1.0, 0.5]])
    for wanted, left in ((1, 1), (2, 4), (3, 4), (4, 4), (5, 5)):
        P = projection.project(W, projection.radius_for(W, wanted))
        assert np.count_nonzero(P) == left
    assert_array_equal(projection.project(W, projection.everything), W)


def test_hoyer_sparsity_above_one_is_refused(wide):
    """The default of `eta` is meant for balls."""
    with pytest.raises(ValueError, match="eta is a sparsity and must be at most 1"):
        quick(projection="hoyer", eta=10.0).fit(*wide)
