"""Studies with the real hpbandster: decisions, files, resumption and broken evaluations."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections import Counter
from pathlib import Path

import ConfigSpace
import numpy as np
import psutil
import pytest
from hpbandster.core.dispatcher import Job
from hpbandster.core.result import logged_results_to_HBS_result
from hpbandster.optimizers.config_generators.bohb import BOHB
from toys import Bowl, Diverging, Needing, Troubled, Unloadable, conditional_space

from curvecast import DataError
from curvecast.files import locked
from curvecast.studies.evaluation import Evaluation, StudyError, native
from curvecast.studies.log import StudyLog, read_evaluations
from curvecast.studies.samplers import load
from curvecast.studies.scheduler import Scheduler, run
from curvecast.studies.settings import Settings

# hpbandster, Pyro4 and statsmodels use what numpy, Python and ConfigSpace call outdated.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


def course_of(evaluations: list[Evaluation]) -> list[tuple]:
    return [(e.id, e.config, e.budget, e.loss) for e in evaluations]


def test_brackets_are_those_of_hyperband() -> None:
    settings = Settings("s", min_budget=1, max_budget=81, eta=3)
    hyperband = load("hyperband")(conditional_space(), settings)
    counts = [hyperband.shape(k)[0] for k in range(5)]
    assert counts == [[81, 27, 9, 3, 1], [27, 9, 3, 1], [9, 3, 1], [6, 2], [5]]
    assert hyperband.shape(5) == hyperband.shape(0)
    assert hyperband.shape(3)[1] == [27, 81]
    full = load("random")(conditional_space(), Settings("s", "random", max_budget=81))
    assert full.shape(2) == ([5], [81])


@pytest.mark.parametrize(
    "wrong",
    [
        {"optimizer": "tpe"},
        {"eta": 1},
        {"min_budget": 10},
        {"iterations": 0},
        {"total_budget": 9.0},
    ],
)
def test_impossible_settings_are_refused(wrong: dict) -> None:
    with pytest.raises(DataError, match="study 's'"):
        Settings("s", **wrong)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_picks_are_those_of_hpbandster() -> None:
    """The array version of the sampler against hpbandster's own loop, draw by draw."""
    ours = load("bohb")(conditional_space(), Settings("s"))
    theirs = BOHB(conditional_space())
    state = np.random.get_state()  # noqa: NPY002 (hpbandster draws from the global state)
    model_based = 0
    for number in range(70):
        configs = []
        for sampler, seed in ((ours, ours.random.seed), (theirs, np.random.seed)):
            seed(number)
            sampler.configspace.seed(number)
            config, by_model = (
                sampler.propose((0, 0, number), 1) if sampler is ours else theirs.get_config(1)
            )
            configs.append(native(dict(config)))
            job = Job((0, 0, number), config=configs[-1], budget=1)
            job.result = {"loss": (math.log10(configs[-1]["lr"]) + 3) ** 2, "info": {}}
            seed(1000 + number)
            if sampler is ours:
                ours.learn(job.id, configs[-1], 1, job.result["loss"])
            else:
                theirs.new_result(job)
        assert configs[0] == configs[1]
        model_based += by_model["model_based_pick"]
    np.random.set_state(state)  # noqa: NPY002
    assert model_based > 25


def test_everything_logged_is_native(tmp_path: Path) -> None:
    evaluations = run(Settings("s", iterations=4, workers=0), Bowl(), tmp_path)
    values = [v for e in evaluations for v in (*e.config.values(), e.budget, e.loss)]
    assert {type(v) for v in values} == {str, int, float}
    assert native({"a": np.str_("x"), "b": (np.float32(1), np.arange(2))}) == {
        "a": "x",
        "b": [1.0, [0, 1]],
    }


def test_hpbandster_opens_the_files(tmp_path: Path) -> None:
    evaluations = run(Settings("s", iterations=4, workers=0), Bowl(), tmp_path)
    result = logged_results_to_HBS_result(str(tmp_path))
    assert len(result.get_all_runs()) == len(evaluations)
    full = [e for e in evaluations if e.budget == 9]
    assert result.get_incumbent_id() == min(full, key=lambda e: e.loss).id


def test_densities_are_fitted_without_a_warning() -> None:
    space = conditional_space()
    sampler = load("bohb")(space, Settings("s", max_budget=9))
    with warnings.catch_warnings():
        warnings.simplefilter("error", FutureWarning)
        for i, drawn in enumerate(space.sample_configuration(30)):
            sampler.learn((0, 0, i), dict(drawn), 9, float(i))
    assert sampler.has_model


def test_the_model_is_used_and_better_than_chance() -> None:
    evaluations = run(Settings("s", iterations=24, workers=0), Bowl())
    first = {e.id: e.loss - 1 / e.budget for e in reversed(evaluations)}
    model_based = {e.id: e.model_based for e in evaluations}
    picked = [loss for key, loss in first.items() if model_based[key]]
    chance = [loss for key, loss in first.items() if not model_based[key]]
    assert len(picked) > 50
    assert np.median(picked) < 0.5 * np.median(chance)


def test_a_sampler_that_never_uses_its_model_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load("bohb"), "_best_candidate", lambda self: None)
    with pytest.raises(StudyError, match="none of 30 draws came from the model"):
        run(Settings("s", iterations=20, workers=0, random_fraction=0.0), Bowl())


@pytest.mark.parametrize("share", [0.97, 1.0])
def test_a_model_may_be_used_seldom_or_never(share: float) -> None:
    for seed in range(3):
        settings = Settings("s", iterations=12, workers=0, random_fraction=share, seed=seed)
        assert len(run(settings, Bowl())) > 60


def test_spaces_that_the_model_cannot_hold_are_refused() -> None:
    objective = Bowl()
    objective.space = ConfigSpace.ConfigurationSpace()
    objective.space.add(ConfigSpace.OrdinalHyperparameter("size", [1, 2]))
    with pytest.raises(DataError, match=r"column size.*integer"):
        run(Settings("s", workers=0), objective)
    objective.space = ConfigSpace.ConfigurationSpace()
    objective.space.add(ConfigSpace.Categorical("kernel", [(3, 3), (5, 5)]))
    with pytest.raises(DataError, match=r"column kernel: the category \(3, 3\) is no text"):
        run(Settings("s", "random", workers=0), objective)


def levels() -> Bowl:
    """The bowl on eight combinations."""
    objective = Bowl()
    objective.space = ConfigSpace.ConfigurationSpace()
    objective.space.add(
        ConfigSpace.Categorical("layers", [1, 2, 3, 4]),
        ConfigSpace.Categorical("lr", [0.01, 0.001]),
        ConfigSpace.Constant("optimizer", "adam"),
    )
    return objective


def test_a_grid_evaluates_every_combination_once_whatever_it_begins_with() -> None:
    points = [{"layers": n, "lr": 0.01, "optimizer": "adam"} for n in (4, 3)]
    done = run(Settings("s", "grid", workers=0, points_to_evaluate=points), levels())
    assert [e.config for e in done[:2]] == points
    assert len({str(sorted(e.config.items())) for e in done}) == len(done) == 8


@pytest.mark.parametrize("optimizer", ["random", "evolution"])
def test_nothing_is_drawn_twice_while_it_is_under_way(optimizer: str) -> None:
    point = {"layers": 1, "lr": 0.001, "optimizer": "adam"}
    settings = Settings("s", optimizer, workers=0, max_budget=1, points_to_evaluate=[point])
    scheduler = Scheduler(settings, levels().space, StudyLog(None))
    drawn = []
    for number in range(8):
        config, info = scheduler.draw((number, 0, 0), 1)
        scheduler.log.new_config((number, 0, 0), config, info)
        drawn.append(str(sorted(config.items())))
    assert len(set(drawn)) == 8


def test_one_worker_repeats_itself_and_the_study_inside_the_process(tmp_path: Path) -> None:
    settings = {"iterations": 5, "seed": 3}
    inside = run(Settings("s", workers=0, **settings), Bowl())
    outside = run(Settings("s", workers=1, **settings), Bowl(), tmp_path)
    assert course_of(inside) == course_of(outside)
    other = run(Settings("s", workers=0, iterations=5, seed=4), Bowl())
    assert course_of(inside) != course_of(other)


def test_studies_under_one_name_do_not_collide(tmp_path: Path) -> None:
    """Two processes at once, two workers each, the same study name."""
    code = (
        "import sys; from toys import Bowl; from curvecast.studies.scheduler import Settings, run\n"
        "run(Settings('s', iterations=3, workers=2, time_limit=60), Bowl(), sys.argv[1])"
    )
    processes = [start(code, tmp_path / str(k)) for k in range(2)]
    assert [p.wait(90) for p in processes] == [0, 0]
    counts = [len(read_evaluations(tmp_path / str(k))) for k in range(2)]
    assert counts == [9 + 3 + 1 + 3 + 1 + 3] * 2


def start(code: str, *arguments: object) -> subprocess.Popen[bytes]:
    path = os.pathsep.join([str(Path(__file__).parent), *(p for p in sys.path if p)])
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", code, *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": path},
    )


def test_nobody_can_reach_a_study_and_its_processes_end_with_it(tmp_path: Path) -> None:
    """No process listens on a port, so that no other user can register a result."""
    calls = tmp_path / "calls"
    code = (
        "import sys; from pathlib import Path; from toys import Bowl\n"
        "from curvecast.studies.scheduler import Settings, run\n"
        "settings = Settings('s', iterations=9, workers=2, time_limit=300)\n"
        "run(settings, Bowl(Path(sys.argv[1]), slow=1.0), sys.argv[2])"
    )
    study = psutil.Process(start(code, calls, tmp_path / "study").pid)
    until = time.monotonic() + 120
    while not calls.exists():
        assert time.monotonic() < until
        time.sleep(0.1)
    family = [study, *study.children(recursive=True)]
    assert len(family) >= 3
    connections = [c for process in family for c in process.net_connections("inet")]
    assert connections == []
    study.kill()
    assert psutil.wait_procs(family, timeout=60)[1] == []


@pytest.mark.parametrize("optimizer", ["bohb", "freeze_thaw"])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_study_goes_on(tmp_path: Path, workers: int, optimizer: str) -> None:
    calls = tmp_path / "calls"
    code = (
        "import sys; from pathlib import Path; from toys import Bowl\n"
        "from curvecast.studies.scheduler import Settings, run\n"
        f"settings = Settings('s', '{optimizer}', iterations=4, workers={workers}, time_limit=60)\n"
        "run(settings, Bowl(Path(sys.argv[1]), slow=0.05), sys.argv[2])"
    )
    whole = run(Settings("s", optimizer, iterations=4, workers=0), Bowl())
    killed = start(code, calls, tmp_path / "study")
    until = time.monotonic() + 60
    while not calls.exists() or len(calls.read_text().splitlines()) < 18:
        assert time.monotonic() < until
        time.sleep(0.02)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    with open(tmp_path / "study" / "results.json", "a") as file:
        file.write('[[0, 0, 1], 9, {"subm')
    logged = {(e.id, e.budget) for e in read_evaluations(tmp_path / "study")}
    assert 10 < len(logged) < len(whole)

    # Another file: what the killed study had sent out may still write to the first one.
    again = tmp_path / "again"
    assert start(code, again, tmp_path / "study").wait(90) == 0
    finished = read_evaluations(tmp_path / "study")
    lines = (tmp_path / "study" / "results.json").read_text().splitlines()
    assert len(finished) == len(lines)
    assert len({(e.id, e.budget) for e in finished}) == len(finished)
    computed = Counter(again.read_text().splitlines())
    assert max(computed.values()) == 1
    assert not set(computed) & {f"{list(key)} {budget}" for key, budget in logged}
    if workers == 1:
        assert course_of(finished) == course_of(whole)
    elif optimizer == "bohb":  # what two workers pause depends on who is done first
        assert len(finished) == len(whole)


def test_more_iterations_extend_a_study(tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    short = run(Settings("s", iterations=2, workers=0), Bowl(calls), tmp_path / "study")
    assert len(calls.read_text().splitlines()) == len(short)
    long = run(Settings("s", iterations=4, workers=0), Bowl(calls), tmp_path / "study")
    assert len(calls.read_text().splitlines()) == len(long) > len(short)
    assert course_of(long)[: len(short)] == course_of(short)


def test_logs_of_other_settings_are_moved_aside(tmp_path: Path) -> None:
    run(Settings("s", iterations=2, workers=0, seed=1), Bowl(), tmp_path)
    old = (tmp_path / "results.json").read_text()
    second = run(Settings("s", iterations=2, workers=0, seed=2), Bowl(), tmp_path)
    assert (tmp_path / "superseded" / "results.json").read_text() == old
    assert course_of(read_evaluations(tmp_path)) == course_of(second)


def test_a_log_comes_back_when_the_settings_do(tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    settings = [Settings("s", iterations=2, workers=0, seed=seed) for seed in (1, 2)]
    first, second = (run(one, Bowl(calls), tmp_path / "study") for one in settings)
    evaluated = calls.read_text()
    assert course_of(run(settings[0], Bowl(calls), tmp_path / "study")) == course_of(first)
    assert course_of(run(settings[1], Bowl(calls), tmp_path / "study")) == course_of(second)
    assert calls.read_text() == evaluated
    assert {path.name for path in (tmp_path / "study").iterdir() if path.is_dir()} == {"superseded"}


def test_a_study_that_is_refused_leaves_the_log_of_another_one(tmp_path: Path) -> None:
    class Unsendable(Bowl):
        def __init__(self) -> None:
            super().__init__()
            self.made_here = lambda: None

    settings = Settings("s", iterations=1, workers=0)
    whole = run(settings, Bowl(), tmp_path)
    point = {"points_to_evaluate": [{"lr": 1.0}]}
    for wrong, objective, message in (
        (Settings("s", "grid", workers=0), Bowl(), "a grid needs categories"),
        (Settings("s", workers=0, **point), Bowl(), "number 1"),
        (Settings("s", "metaqnn", workers=0), Bowl(), "a space of layers"),
        (Settings("s", seed=1), Unsendable(), "cannot be copied for the study's processes"),
    ):
        for _ in range(2):
            with pytest.raises(DataError, match=message):
                run(wrong, objective, tmp_path)
    assert course_of(read_evaluations(tmp_path)) == course_of(whole)
    assert not (tmp_path / "superseded").exists()


def test_an_objective_that_cannot_be_copied_is_one_line() -> None:
    objective = Bowl()
    objective.lock = threading.Lock()  # type: ignore[attr-defined]
    with pytest.raises(DataError, match=r"cannot be copied .*lock"):
        run(Settings("s", workers=0), objective)


def test_a_kill_between_two_studies_mixes_no_logs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(Settings("s", iterations=2, workers=0, seed=1), Bowl(), tmp_path)
    move = Path.rename
    moved: list[Path] = []

    def rename(self: Path, target: Path) -> Path:
        moved.append(self)
        if len(moved) == 2:
            raise KeyboardInterrupt
        return move(self, target)

    other = Settings("s", iterations=2, workers=0, seed=2)
    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(KeyboardInterrupt):
        run(other, Bowl(), tmp_path)
    monkeypatch.undo()
    assert course_of(run(other, Bowl(), tmp_path)) == course_of(run(other, Bowl()))


def test_a_corrupt_log_names_file_and_row(tmp_path: Path) -> None:
    run(Settings("s", iterations=1, workers=0), Bowl(), tmp_path)
    lines = (tmp_path / "results.json").read_text().splitlines()
    whole = lines[3]
    lines[3] = whole.replace('"loss": ', '"loss": 1', 1)
    (tmp_path / "results.json").write_text("\n".join(lines) + "\n")
    with pytest.raises(DataError, match=r"results\.json, row 4: the line is damaged"):
        run(Settings("s", iterations=1, workers=0), Bowl(), tmp_path)
    lines[3] = whole[:-7]
    (tmp_path / "results.json").write_text("\n".join(lines) + "\n")
    with pytest.raises(DataError, match=r"results\.json, row 4: not JSON"):
        run(Settings("s", iterations=1, workers=0), Bowl(), tmp_path)
    lines[3] = json.dumps([[8, 0, 0], 9, {}, None, "x"])
    (tmp_path / "results.json").write_text("\n".join(lines) + "\n")
    with pytest.raises(DataError, match=r"row 4: configuration \[8, 0, 0\] is not in configs"):
        run(Settings("s", iterations=1, workers=0), Bowl(), tmp_path)


def test_broken_evaluations_are_survived(tmp_path: Path) -> None:
    settings = Settings("s", iterations=1, workers=2, timeout=1.0, time_limit=90)
    evaluations = run(settings, Troubled(), tmp_path)
    reasons = {e.id[2]: e.reason for e in evaluations if e.id[1] == 0 and e.budget == 1}
    assert reasons[0] == "ZeroDivisionError: boom"
    assert reasons[1] == "TimeoutError: no result after 1 s"
    assert reasons[2] == "the loss is nan"
    assert reasons[3] == "the process ended with exit code 7"
    assert reasons[4] == "the objective returned no loss"
    assert reasons[5].endswith("EvaluationError: TwoArguments: layer 3: no weights")
    assert [reasons[k] for k in range(6, 9)] == [None] * 3
    assert all(math.isinf(e.loss) == (e.reason is not None) for e in evaluations)
    promoted = {e.id for e in evaluations if e.budget == 3}
    best = sorted((e for e in evaluations if e.budget == 1), key=lambda e: e.loss)[:3]
    assert promoted == {e.id for e in best}
    assert len(logged_results_to_HBS_result(str(tmp_path)).get_all_runs()) == len(evaluations)


def test_what_is_broken_ends_the_study_and_is_evaluated_again(tmp_path: Path) -> None:
    settings = Settings("s", "random", max_budget=1, iterations=40, workers=1, time_limit=90)
    objective, folder = Needing(needed=tmp_path / "data.npz"), tmp_path / "study"
    with pytest.raises(StudyError, match="20 evaluations in a row have no result") as raised:
        run(settings, objective, folder)
    assert str(raised.value).strip().endswith("FileNotFoundError: data.npz is not there")
    assert len(read_evaluations(folder)) == 7
    objective.needed.touch()
    again = run(settings, objective, folder)
    assert course_of(again) == course_of(run(settings.model_copy(update={"workers": 0}), Bowl()))


def test_an_objective_that_a_process_cannot_load_says_why(tmp_path: Path) -> None:
    settings = Settings("s", min_budget=9, iterations=2, time_limit=60)
    evaluations = run(settings, Unloadable(), tmp_path)
    assert len(evaluations) == 2
    assert all("no such library there" in str(e.reason) for e in evaluations)


def test_a_declared_failure_inside_the_process_is_the_worst_loss(tmp_path: Path) -> None:
    evaluations = run(Settings("s", iterations=6, workers=0), Diverging(), tmp_path)
    failed = [e for e in evaluations if e.reason is not None]
    assert failed
    assert {e.config["layers"] for e in failed} == {4}
    assert {e.reason for e in failed} == {"the run diverged"}
    silent = run(Settings("s", iterations=1, workers=0), Diverging(reason=""), tmp_path / "other")
    assert {e.reason for e in silent} == {None, "no reason is given"}


def test_the_time_limit_ends_a_study(tmp_path: Path) -> None:
    settings = Settings("s", iterations=1, workers=1, time_limit=3)
    began = time.monotonic()
    with pytest.raises(StudyError, match="not finished within 3 s"):
        run(settings, Bowl(slow=60), tmp_path)
    assert time.monotonic() - began < 15
    assert read_evaluations(tmp_path) == []


def test_a_study_runs_once_at_a_time(tmp_path: Path) -> None:
    with (
        locked(tmp_path / ".lock", "held by the test"),
        pytest.raises(DataError, match="another process is running this study"),
    ):
        run(Settings("s", workers=0), Bowl(), tmp_path)


def test_total_budget_ends_a_study() -> None:
    settings = Settings("s", "random", iterations=None, total_budget=100, workers=0)
    evaluations = run(settings, Bowl())
    assert [e.cost for e in evaluations] == [9] * 12
    resumed = run(Settings("s", iterations=None, total_budget=100, workers=0), Bowl())
    used = sum(e.cost for e in resumed)
    assert 100 <= used < 109
    assert {e.cost for e in resumed if e.budget == 9} == {6, 9}


def test_a_worker_does_not_end_before_the_job_that_would_log_it_as_failed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CURVECAST_SCHEDULER", str(os.getpid()))
    code = (
        "import sys; from toys import Watching\n"
        "from curvecast.studies.scheduler import Settings, run\n"
        "settings = Settings('s', iterations=1, workers=1, time_limit=60)\n"
        "run(settings, Watching(), sys.argv[1])\n"
    )
    assert start(code, tmp_path).wait(120) == 0
    assert {e.loss for e in read_evaluations(tmp_path)} == {0.0}
