"""CompactProgressBar: lines, counts, and fits in other processes."""

import io
import pickle
import uuid

import pytest
import rich
from sklearn.base import clone
from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from skproj.callback import CompactProgressBar, _progress
from skproj.feature_selection import ProjectionFeatureSelectorCV

X, y = load_wine(return_X_y=True)
X = StandardScaler().fit_transform(X)


@pytest.fixture
def seen(monkeypatch):
    """Return a list of what is on the display after each message."""
    states = []
    draw = _progress._Display._draw

    def record(display):
        draw(display)
        tasks = display._progress.tasks
        states.append(
            [(t.description, round(t.percentage), t.fields["count"]) for t in tasks]
        )

    monkeypatch.setattr(_progress._Display, "_draw", record)
    return states


@pytest.fixture
def terminal(monkeypatch):
    """Return what is printed, as to a file."""
    stream = io.StringIO()
    monkeypatch.setattr(rich, "_console", rich.console.Console(file=stream, width=100))
    return stream


def grid_search(n_jobs=None):
    steps = [("scale", StandardScaler()), ("predict", LogisticRegression())]
    grid = {"predict__C": [0.1, 1.0, 10.0]}
    return GridSearchCV(Pipeline(steps), grid, cv=2, n_jobs=n_jobs)


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_search_has_two_lines_that_count(n_jobs, seen, terminal):
    grid_search(n_jobs).set_callbacks(CompactProgressBar()).fit(X, y)
    assert all(len(state) <= 2 for state in seen)
    search = [state for state in seen if "  Cross-validation" in dict_of(state)]
    counts = [dict_of(state)["  Cross-validation"][1] for state in search]
    assert set(counts) == {f"{i} of 6" for i in range(7)}
    whole = [state[0][1] for state in seen]
    assert whole == sorted(whole)
    assert whole[-1] == 100
    labels = {label for state in seen for label, *_ in state}
    assert "  Fit with the best parameters" in labels
    (line,) = terminal.getvalue().splitlines()
    assert line.startswith("Fit of GridSearchCV ")
    assert "100% 2 of 2" in line


def dict_of(state):
    return {label: rest for label, *rest in state}


@pytest.mark.parametrize("max_bars", [1, 2, 5])
def test_number_of_lines_is_limited(max_bars, seen, terminal):
    grid_search().set_callbacks(CompactProgressBar(max_bars)).fit(X, y)
    assert max(map(len, seen)) == min(max_bars, 3)


def test_description_replaces_the_name(terminal):
    bar = CompactProgressBar(description="Search [for] it")
    ProjectionFeatureSelectorCV(3, cv=2).set_callbacks(bar).fit(X, y)
    assert "Search [for] it" in terminal.getvalue()


def test_task_of_unknown_length_counts_what_is_done(seen, terminal):
    display = _progress._Display()
    display.receive(("begin", (0,), "fit", None))
    for i in range(3):
        display.receive(("end", (0, i)))
    assert seen[-1] == [("Fit", 0, "3")]
    display.receive(("end", (0,)))
    assert seen[-1] == [("Fit", 100, "3")]


def test_end_of_a_task_that_lost_its_line_is_ignored(seen, terminal):
    """Of two that run side by side, the last to begin is shown."""
    display = _progress._Display()
    display.receive(("begin", (0,), "fit", 2))
    display.receive(("begin", (0, 0), "one", 2))
    display.receive(("begin", (0, 1), "two", 2))
    display.receive(("end", (0, 0, 0)))
    assert seen[-1] == [("Fit", 0, "0 of 2"), ("  Two", 0, "0 of 2")]
    display.receive(("end", (0, 0)))
    display.receive(("end", (0, 1, 0)))
    assert seen[-1] == [("Fit", 75, "1 of 2"), ("  Two", 50, "1 of 2")]


def test_display_is_closed_after_an_error(terminal):
    search = grid_search().set_params(error_score="raise")
    search.param_grid = {"predict__C": [-1.0]}
    with pytest.raises(ValueError, match="'C' parameter"):
        search.set_callbacks(CompactProgressBar()).fit(X, y)
    assert _progress._displays == {}


def test_callback_is_cloned_pickled_and_used_again(terminal):
    selector = ProjectionFeatureSelectorCV(2, cv=2).set_callbacks(CompactProgressBar())
    clone(selector).fit(X, y)
    pickle.loads(pickle.dumps(selector)).fit(X, y)
    selector.fit(X, y).fit(X, y)
    assert terminal.getvalue().count("100%") == 4


@pytest.mark.parametrize(
    ("parameters", "error", "name"),
    [
        ({"max_bars": 0}, ValueError, "max_bars"),
        ({"max_bars": 1.5}, TypeError, "max_bars"),
        ({"max_propagation_depth": -1}, ValueError, "max_propagation_depth"),
    ],
)
def test_unsuitable_parameters(parameters, error, name):
    with pytest.raises(error, match=name):
        CompactProgressBar(**parameters)


def test_messages_of_deep_tasks_are_not_sent(monkeypatch):
    """A network has thousands of epochs."""
    sent = []
    monkeypatch.setattr(_progress, "send", lambda listener, m: sent.append(m))
    bar = CompactProgressBar(2)
    context = root = Task(None, max_subtasks=1)
    bar._listeners[root.root_uuid] = None
    for _ in range(3):
        context = Task(context, max_subtasks=1)
        bar.on_fit_task_begin(None, context)
        bar.on_fit_task_end(None, context)
    assert [(m[0], len(m[1])) for m in sent] == [("begin", 2), ("end", 2), ("end", 3)]


class Task:
    """Part of the context of a task that callbacks read."""

    root_uuid = uuid.uuid4()
    task_id = 0
    task_name = "part"
    source_task_name = None

    def __init__(self, parent, max_subtasks):
        self.parent, self.max_subtasks = parent, max_subtasks
