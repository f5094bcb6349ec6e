"""A model leaves its notebook: adopted, measured, required, live, and served."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer, make_column_selector, make_column_transformer
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestRegressor
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.svm import LinearSVC
from xgboost import XGBClassifier

import trimtab
from trimtab.adoption.code import write_estimator
from trimtab.adoption.rows import rows_of, task_of
from trimtab.cli.main import main
from trimtab.declaration.load import load
from trimtab.errors import PermanentError

AT = datetime(2026, 1, 1, tzinfo=UTC)


def rows(count: int = 600, seed: int = 0) -> tuple[pl.DataFrame, np.ndarray]:
    generator = np.random.default_rng(seed)
    frame = pl.DataFrame(
        {
            "size": generator.normal(size=count),
            "age": generator.uniform(0, 50, count),
            "sold_at": [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=i) for i in range(count)],
        }
    )
    return frame, frame["size"].to_numpy() - frame["age"].to_numpy() / 25 + generator.normal(scale=0.5, size=count)


@pytest.mark.timeout(180)
def test_a_classifier_goes_live_under_the_requirements_it_was_measured_at(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame, figure = rows()
    y = (figure > -1).astype(int)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.3)).fit(frame.select("size", "age").to_numpy(), y)
    found = trimtab.adopt(model, frame, y, folder=tmp_path / "sales", time="sold_at", problem="What will sell")
    assert found.live == "r-001 is live"
    assert set(found.requirements) == {"quality.roc_auc", "quality.log_loss"}
    system = load(found.folder)
    assert system.problem == "What will sell"
    assert system.model.inputs == ("size", "age")
    for requirement in system.requirements:
        if requirement.metric in found.requirements:
            figure_then = found.metrics[requirement.metric].figure
            assert figure_then is not None
            assert (figure_then >= requirement.limit) == (requirement.comparison == ">=")
    assert "next: trimtab up" in str(found)
    assert any("no key" in note for note in found.notes)
    assert main(["status", str(found.folder)]) in (0, 1)
    assert "r-001" in capsys.readouterr().out
    assert main(["models", "list", str(found.folder)]) == 0

    with pytest.raises(PermanentError, match="is not an empty folder"):
        trimtab.adopt(model, frame, y, folder=found.folder)


@pytest.mark.timeout(180)
def test_a_regressor_from_a_bare_array_keeps_its_order_as_time(tmp_path: Path) -> None:
    frame, figure = rows(300)
    x = frame.select("size", "age").to_numpy()
    model = RandomForestRegressor(n_estimators=np.int64(7), max_depth=3, random_state=1).fit(x, figure)
    found = trimtab.adopt(model, x, figure, folder=tmp_path / "9 prices!")
    system = load(found.folder)
    assert system.name == "prices"
    assert system.task == "regression"
    assert system.model.params == {"n_estimators": 7, "max_depth": 3, "random_state": 1}
    assert "RandomForestRegressor()" in (found.folder / "model.py").read_text()
    assert set(found.requirements) == {"quality.mae", "quality.r2"}
    assert any("no time" in note for note in found.notes)


def test_what_xgboost_was_set_to_and_where_it_stopped() -> None:
    frame, figure = rows(300)
    x, y = frame.select("size", "age").to_numpy(), (figure > -1).astype(int)
    stopped = XGBClassifier(n_estimators=200, learning_rate=0.9, early_stopping_rounds=2, n_jobs=1)
    stopped.fit(x[:200], y[:200], eval_set=[(x[200:], y[200:])], verbose=False)
    written = write_estimator(stopped)
    assert (written.expression, written.matrix, written.told) == ("XGBClassifier()", "train.coded()", "")
    assert written.params == {"learning_rate": 0.9, "n_jobs": 1, "n_estimators": stopped.best_iteration + 1}
    kinds = XGBClassifier(max_depth=2, n_estimators=3, enable_categorical=True, feature_types=["c", "q"])
    written = write_estimator(kinds.fit(np.abs(x).astype(int), y))
    assert written.told == "feature_types=train.feature_types"
    assert written.params == {"max_depth": 2, "n_estimators": 3, "enable_categorical": True}


class Own:
    """An estimator of nobody's."""


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (Own(), "Own cannot be adopted"),
        (make_pipeline(FunctionTransformer(np.log1p), LogisticRegression()), "cannot be written down as code"),
        (
            make_pipeline(ColumnTransformer([("a", StandardScaler(), ["size"])]), LogisticRegression()),
            "is not fitted, so its columns are not known",
        ),
    ],
)
def test_what_cannot_be_adopted_says_why_and_leaves_nothing(tmp_path: Path, model: Any, says: str) -> None:
    frame, figure = rows(100)
    with pytest.raises(PermanentError, match=says) as raised:
        trimtab.adopt(model, frame, figure > 0, folder=tmp_path / "own")
    assert raised.value.hint
    assert not (tmp_path / "own").exists()


@pytest.mark.timeout(180)
def test_a_pipeline_that_picks_columns_by_name_is_kept_and_sees_no_others(tmp_path: Path) -> None:
    frame, figure = rows()
    cities = np.random.default_rng(1).choice(["Berlin", "Köln", None], frame.height)
    table = frame.with_columns(pl.Series("city", cities), pl.lit("x").alias("unused")).to_pandas()
    y = pd.Series(np.where(figure + (cities == "Köln") > -1, "yes", "no"), name="sold")
    picked = make_column_transformer(
        (make_pipeline(SimpleImputer(), StandardScaler()), make_column_selector(dtype_include="number")),
        (OneHotEncoder(handle_unknown="ignore"), ["city"]),
    )
    inputs = table[["city", "age", "size"]]
    model = make_pipeline(picked, LogisticRegression(C=0.3)).fit(inputs, y)
    found = trimtab.adopt(model, table, y, folder=tmp_path / "sales", time="sold_at")
    assert found.live == "r-001 is live"
    system = load(found.folder)
    assert system.model.inputs == ("city", "age", "size")
    assert system.labelled.label == "sold"
    assert "scores are the probability of 'yes', the positive class as the later by the alphabet" in found.notes
    assert max(map(len, str(found).splitlines()[1:-1])) <= 80
    auc, own = found.metrics["quality.roc_auc"].figure, roc_auc_score(y == "yes", model.predict_proba(inputs)[:, 1])
    assert auc is not None
    assert abs(auc - own) < 0.08


def test_rows_that_the_model_was_not_fitted_on_are_refused(tmp_path: Path) -> None:
    frame, figure = rows(100)
    named = LogisticRegression().fit(frame.select("size", "age").to_pandas(), figure > 0)
    with pytest.raises(PermanentError, match="was fitted on column 'age', which X lacks"):
        trimtab.adopt(named, frame.drop("age"), figure > 0, folder=tmp_path / "own", time="sold_at")
    bare = LogisticRegression().fit(frame.select("size").to_numpy(), figure > 0)
    with pytest.raises(PermanentError, match="was fitted on 1 columns, and X has 2: size, age"):
        trimtab.adopt(bare, frame, figure > 0, folder=tmp_path / "own", time="sold_at")


def test_texts_are_told_to_move_and_native_categories_stay_categories() -> None:
    texts = pd.DataFrame({"text": ["so so", "so la", "la la", "la"]})
    reads = make_pipeline(make_column_transformer((CountVectorizer(), "text")), LogisticRegression())
    with pytest.raises(PermanentError, match="takes the texts of column 'text'"):
        write_estimator(reads.fit(texts, [0, 1, 0, 1]))
    kinds = HistGradientBoostingClassifier(max_iter=3).fit(texts.astype("category"), [0, 1, 0, 1])
    written = write_estimator(kinds)
    assert (written.told, written.params) == ("categorical_features=train.categorical", {"max_iter": 3})


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"time": "when"}, "X has no column 'when'"),
        ({"label": "size"}, "X has a column 'size', as the label is called"),
        ({"y": [1, 2, 3]}, "X has 100 rows and y has 3"),
        ({"X": np.zeros(4)}, r"X has shape \(4,\)"),
        ({"X": pl.DataFrame({"t": [datetime(2026, 1, 1)] * 100}), "time": "t"}, "not moments with a time zone"),
        ({"X": pl.DataFrame({"t": [None] * 9 + [AT] * 91}), "time": "t"}, "column 't' is empty in 9 rows"),
        ({"X": pl.DataFrame({"k": ["a", "a", *range(98)]}, strict=False), "key": "k"}, "2 rows share .* such as 'a'"),
        ({"X": np.zeros((0, 2)), "y": []}, "X has no rows"),
        ({"X": pl.DataFrame({"t": [AT] * 100})}, "column 't' holds moments, and no model takes them as they are"),
        ({"y": [1.0, float("nan")] * 50}, "y has no value in 50 of its 100 rows"),
    ],
)
def test_rows_that_are_none_are_named(tmp_path: Path, change: dict[str, Any], says: str) -> None:
    frame, figure = rows(100)
    given = {"X": frame, "y": figure > 0, **change}
    with pytest.raises(PermanentError, match=says):
        trimtab.adopt(LogisticRegression(), folder=tmp_path / "own", **given)
    assert not (tmp_path / "own").exists()


def test_only_what_answers_is_adopted_and_by_its_own_word() -> None:
    labels = pl.Series("y", [0, 1, 1])
    assert task_of(LinearSVC(), labels) == task_of(LogisticRegression(), labels) == "binary_classification"
    assert task_of(LinearSVC(), pl.Series("y", [0, 1, 2])) == "multiclass_classification"
    assert task_of(RandomForestRegressor(), labels) == "regression"
    for model, says in ((KMeans(), "KMeans is a clusterer"), (PCA(), "PCA is no model")):
        with pytest.raises(PermanentError, match=says):
            task_of(model, labels)


def test_labels_are_kept_as_callers_tell_them() -> None:
    frame = pl.DataFrame({"x": [1.0, 2.0, 3.0]})

    def kept(model: Any, y: Any) -> list[Any]:
        found = rows_of(frame, y, model=model, time=None, key=None, label="", now=AT)
        return found.frame.get_column("label").to_list()

    assert kept(LogisticRegression(), [0.0, 1.0, 1.0]) == [0, 1, 1]  # 1.0 of pandas is told as 1
    assert kept(LogisticRegression(), [0.5, 1.0, 1.0]) == ["0.5", "1.0", "1.0"]
    assert kept(RandomForestRegressor(), [0, 1, 2]) == [0.0, 1.0, 2.0]
    with pytest.raises(PermanentError, match="y is String, and the model answers with numbers"):
        kept(RandomForestRegressor(), ["a", "b", "c"])


def test_a_folder_that_cannot_be_made_is_named() -> None:
    frame, figure = rows(100)
    model = LogisticRegression().fit(frame.select("size", "age").to_numpy(), figure > 0)
    with pytest.raises(PermanentError, match="/proc/none/here cannot be made") as raised:
        trimtab.adopt(model, frame, figure > 0, folder="/proc/none/here", time="sold_at")
    assert raised.value.hint


def test_code_makes_the_same_estimator_again() -> None:
    model = make_pipeline(StandardScaler(with_mean=False), LogisticRegression(C=0.25, class_weight={0: 1.0, 1: 3.0}))
    written = write_estimator(model)
    space: dict[str, Any] = {}
    exec(f"{written.import_lines()}\nmade = {written.expression}", space)
    made = space["made"].set_params(**written.params)
    assert repr(made) == repr(model)
