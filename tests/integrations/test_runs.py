"""What all integrations share: runs as they report, and the advice on one of them."""

from __future__ import annotations

import importlib
import logging
import re
import sys

import numpy as np
import pandas as pd
import pytest

from curvecast import CurveSet, DataError
from curvecast.integrations._runs import Runs, Watch, values_at
from curvecast.testing import saturating_curves

LAST = 20


def falling(end: float) -> list[float]:
    return [end + 0.6 * np.exp(-0.3 * epoch) for epoch in range(1, LAST + 1)]


def runs_of(*, n: int = 10, scale: int = 1, sign: float = 1.0) -> Runs:
    """`n` ended runs to minimise, whose ends are told by `lr`; epochs are multiplied by `scale`."""
    runs = Runs("minimize" if sign > 0 else "maximize", LAST * scale)
    for i in range(n):
        runs.start(f"r{i}", {"lr": 10.0 ** -(1 + i / 3), "optimizer": "sgd" if i % 2 else "adam"})
        for epoch, value in enumerate(falling(0.1 + 0.02 * i), 1):
            runs.report(f"r{i}", epoch * scale, sign * value)
        runs.end(f"r{i}")
    return runs


def asked(runs: Runs, end: float, epochs: range, *, sign: float = 1.0) -> None:
    runs.start("asked", {"lr": 0.01, "optimizer": "adam"})
    for epoch in epochs:
        runs.report("asked", epoch, sign * falling(end)[epoch * LAST // runs.last_epoch - 1])


@pytest.mark.parametrize("scale", [1, 1000])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_run_that_cannot_win_is_stopped_and_a_better_one_is_not(scale: int, sign: float) -> None:
    runs = runs_of(scale=scale, sign=sign)
    asked(runs, 0.5, range(scale, 8 * scale + 1, scale), sign=sign)
    bad = runs.advise("asked")
    assert bad is not None
    assert (bad.epoch, bad.stop, bad.reason) == (8 * scale, True, "predicted worse")
    assert bad.low <= bad.predicted <= bad.high
    assert abs(sign * bad.predicted - 0.5) < 0.05
    asked(runs, 0.05, range(scale, 8 * scale + 1, scale), sign=sign)
    good = runs.advise("asked")
    assert good is not None
    assert not good.stop
    assert good.worse < 0.5 < bad.worse


def test_advice_says_what_it_is_in_a_line() -> None:
    runs = runs_of()
    asked(runs, 0.5, range(1, 9))
    text = str(runs.advise("asked"))
    assert text.startswith("curvecast: 0.5544 at 8, ends at 0.")
    assert text.endswith("%, stop")


def test_without_an_earlier_run_it_predicts_and_stops_nothing_but_divergence() -> None:
    runs = runs_of(n=0)
    asked(runs, 0.5, range(2, 9, 3))
    advice = runs.advise("asked")
    assert advice is not None
    assert not advice.stop
    assert np.isnan(advice.worse)
    assert set(advice.scalars()) == {"predicted", "low", "high"}
    runs.report("asked", 9, float("nan"))
    advice = runs.advise("asked")
    assert advice is not None
    assert (advice.stop, advice.reason) == (True, "diverged")
    assert str(advice) == "curvecast: diverged at 9, stop"


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_run_under_way_is_one_to_beat_until_it_ends(sign: float) -> None:
    runs = runs_of(n=0, sign=sign)
    good = ("good", "also good", "good too", "as good")
    for name in good:
        runs.start(name)
    for epoch, value in enumerate(falling(0.02)[:15], 1):
        for name in good:
            runs.report(name, epoch, sign * value)
            runs.advise(name)
    asked(runs, 0.6, range(1, 13), sign=sign)
    bad = runs.advise("asked")
    assert bad is not None
    assert bad.stop
    assert bad.reason.startswith("predicted worse than ")
    assert not any(advice.stop for advice in runs.history[:-1])
    runs.end("good")
    left = runs.advise("asked")
    assert left is not None
    assert not left.stop  # three others would be too few
    for name in good:
        runs.end(name)
    alone = runs.advise("asked")
    assert alone is not None
    assert not alone.stop
    assert np.isnan(alone.worse)


def test_at_the_last_epoch_nothing_is_open() -> None:
    runs = runs_of()
    asked(runs, 0.5, range(1, LAST + 1))
    assert runs.advise("asked") is None
    runs.start("nothing")
    assert runs.advise("nothing") is None


def test_runs_that_still_train_and_runs_without_values_are_not_compared_with() -> None:
    runs = runs_of()
    runs.start("empty")
    runs.end("empty")
    runs.start("another")
    runs.report("another", 1, 0.3)
    asked(runs, 0.5, range(1, 9))
    curves = runs.curves("asked")
    assert curves.configs["id"].tolist() == [*(f"r{i}" for i in range(10)), "asked"]
    assert curves.epochs.tolist() == [*range(1, 9), LAST]


def test_settings_become_columns_in_log_scale_where_they_span_orders_of_magnitude() -> None:
    runs = Runs("minimize", 10)
    for i in range(4):
        config = {
            "lr": 10.0**-i,
            "layers": i,
            "name": "net",
            "deep": np.bool_(i > 1),
            "path": object(),
        }
        if i == 3:
            del config["layers"]
        runs.start(f"r{i}", config)
        runs.report(f"r{i}", 1, 1.0)
        runs.end(f"r{i}")
    runs.start("asked", {"lr": 0.1, "layers": 2, "new": None})
    runs.report("asked", 1, 1.0)
    curves = runs.curves("asked")
    assert [c for c in curves.configs if c.startswith("hp_")] == ["hp_lr", "hp_layers", "hp_deep"]
    assert curves.log_columns == ("hp_lr",)
    np.testing.assert_array_equal(curves.configs["hp_layers"], [0, 1, 2, np.nan, 2])


def test_many_reports_are_thinned_out_and_the_last_one_stays() -> None:
    runs = runs_of(n=0)
    runs.last_epoch = 10**6
    runs.start("asked")
    for step in range(100, 100_000, 100):
        runs.report("asked", step, 1 / step)
    curves = runs.curves("asked")
    assert len(curves.epochs) <= 202
    assert curves.epochs[-2:].tolist() == [99_900, 10**6]


def test_values_between_two_reports_lie_on_a_line() -> None:
    values = values_at(np.array([0, 1, 3, 4, 5]), {4: 4.0, 1: 1.0})
    np.testing.assert_array_equal(values, [np.nan, 1, 3, 4, np.nan])


def earlier(**changes: object) -> CurveSet:
    """Finished runs whose accuracy ends between .6 and .9."""
    return saturating_curves(30, **changes)


def test_a_watch_has_earlier_runs_and_stores_what_it_predicted(tmp_path, caplog) -> None:
    curves = earlier()
    written: list[tuple[str, int]] = []

    class Writer:
        def add_scalar(self, name: str, value: float, epoch: int) -> None:
            written.append((name, epoch))

    path = tmp_path / "advice.csv"
    watch = Watch("val_acc", "max", earlier=curves, path=path, writer=Writer())
    watch.begin(LAST)
    with caplog.at_level(logging.WARNING, "curvecast"):
        ended = [watch.ends(watch.validated(e, {"val_acc": 0.1})) for e in range(1, 7)]
    assert ended[-1]
    assert "stop" in caplog.text
    table = pd.read_csv(path)
    assert table["epoch"].tolist() == list(range(1, 7))
    assert table["stop"].tolist() == ended
    assert len(watch.history) == 6
    assert ("curvecast/low", 3) in written
    calm = Watch("val_acc", "max", earlier=curves, stop=False)
    calm.begin(LAST)
    assert not any(calm.ends(calm.validated(e, {"val_acc": 0.1})) for e in range(1, 7))
    assert calm.ends(calm.validated(7, {"val_acc": np.nan}))


def test_a_run_that_goes_on_is_predicted_from_its_whole_curve(tmp_path) -> None:
    whole, begun, resumed = (
        Watch("val_acc", "max", earlier=earlier(), path=tmp_path / f"{name}.csv")
        for name in ("whole", "run", "run")
    )
    values = {epoch: 0.5 - 0.4 * 0.7**epoch for epoch in range(1, 9)}
    for watch, first, last in ((whole, 1, 8), (begun, 1, 5), (resumed, 5, 8)):
        watch.begin(LAST, history=watch.stored(first - 1))
        for epoch in range(first, last + 1):
            watch.validated(epoch, {"val_acc": values[epoch]})
    tables = [pd.read_csv(tmp_path / f"{name}.csv") for name in ("whole", "run")]
    assert len(tables[0]) == 8
    assert tables[0]["reason"].notna().any()
    pd.testing.assert_frame_equal(*tables, rtol=1e-4)


def test_earlier_runs_that_are_longer_end_at_the_planned_epoch() -> None:
    watch = Watch("val_acc", "max", earlier=earlier())
    watch.begin(10)
    watch.validated(3, {"val_acc": 0.5})
    assert watch.runs is not None
    np.testing.assert_array_equal(watch.runs.curves(Watch.RUN).final[:-1], earlier().values[:, 9])


def test_what_does_not_fit_is_one_line() -> None:
    with pytest.raises(DataError, match="mode is 'lowest', not min or max"):
        Watch("val_acc", "lowest")
    with pytest.raises(DataError, match="the earlier runs maximize, this one has to minimize"):
        Watch("val_loss", "min", earlier=earlier()).begin(20)
    watch = Watch("val_acc", "max")
    watch.begin(20)
    with pytest.raises(DataError, match="'val_acc' is not logged; there are acc, loss"):
        watch.validated(1, {"loss": 1.0, "acc": 1.0})
    with pytest.raises(DataError, match="direction is 'up', not one of"):
        Runs("up", 20)
    for made in (lambda: Runs("minimize", 20, promise=1.5), lambda: Watch("a", "max", promise=0)):
        with pytest.raises(DataError, match=r"promise is .*, not above 0 and at most 1"):
            made()


@pytest.mark.parametrize(
    ("module", "tool", "extra"),
    [
        ("keras", "keras", "keras"),
        ("lightning", "lightning", "lightning"),
        ("optuna", "optuna", "optuna"),
        ("ray", "ray", "ray"),
        ("syne_tune", "syne_tune", "syne-tune"),
        ("transformers", "transformers", "transformers"),
    ],
)
def test_a_tool_that_is_not_installed_is_named(
    module: str, tool: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [n for n in sys.modules if n.partition(".")[0] == tool]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, tool, None)
    monkeypatch.delitem(sys.modules, f"curvecast.integrations.{module}", raising=False)
    line = f'the package {tool} is missing: pip install "curvecast[{extra}]"'
    with pytest.raises(ImportError, match=re.escape(line)):
        importlib.import_module(f"curvecast.integrations.{module}")
