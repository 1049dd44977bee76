"""The commands about logs of other tools, as they are typed."""

import gzip
import io
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from curvecast.cli import main


@pytest.fixture
def log(tmp_path):
    """A long table: 12 runs of 20 epochs, three of them under way."""
    rng = np.random.default_rng(1)
    rows = []
    for run in range(12):
        end, rate = rng.uniform(0.5, 0.9), rng.uniform(0.2, 0.4)
        for epoch in range(1, 21 if run < 9 else 8):
            value = end * (1 - 0.8 * np.exp(-rate * epoch))
            rows.append((f"r{run}", 10.0 ** -(run % 3), epoch, value, 1 - value))
    frame = pd.DataFrame(rows, columns=["run", "lr", "epoch", "val_acc", "val_loss"])
    frame.to_csv(tmp_path / "log.csv", index=False)
    return tmp_path / "log.csv"


def test_inspect_says_what_it_sees_and_asks_one_question(log, capsys):
    assert main(["inspect", str(log)]) == 0
    text = capsys.readouterr().out
    assert "long table" in text
    assert "--metric with one of val_acc, val_loss" in text
    assert main(["inspect", str(log), "--metric", "val_acc"]) == 0
    text = capsys.readouterr().out
    assert "12: 9 finished, 3 running" in text
    assert "val_acc at epoch 20, to maximize" in text
    assert "lr (0.01 to 1)" in text
    assert f"next      curvecast report {log} --metric val_acc" in text


def test_report_writes_one_page_with_the_advice_first(log, tmp_path, capsys):
    page = tmp_path / "page.html"
    assert main(["report", str(log), "--metric", "val_acc", "--out", str(page)]) == 0
    assert " of 3 runs under way" in capsys.readouterr().out
    text = page.read_text(encoding="utf-8")
    assert len(text) < 5_000_000
    assert text.index("Runs under way") < text.index("How far to trust it")
    order = re.findall(r'class="text (stop|go)"', text)
    assert order == sorted(order, reverse=True)
    assert "stop" in order
    assert "https://" not in text.partition('<div id="chart">')[0]


_PROBE = """<script>
const wait = ms => new Promise(done => setTimeout(done, ms));
addEventListener("load", async () => {
  const out = {};
  try {
    while (!window.curves) await wait(100);
    await wait(500);
    const rows = document.querySelectorAll("#runs tbody tr");
    const canvas = document.querySelector("#chart canvas");
    const run = rows[1].dataset.run;
    const [at, value] = [2, 3].map(i => Number(rows[1].cells[i].textContent));
    const box = canvas.getBoundingClientRect(), pad = curves.padding();
    const [left, top] = [curves.origin()[0] + pad.left, curves.origin()[1] + pad.top];
    const place = {bubbles: true, clientX: box.left + left + curves.scale("x")(at),
      clientY: box.top + top + curves.scale("y")(value)};
    const send = (...kinds) => kinds.forEach(k => canvas.dispatchEvent(new PointerEvent(k, place)));
    for (const kind of ["mousemove", "pointermove"])
      curves.addEventListener(kind, (_, item) => { if (item) out.hover ??= item.tooltip; });
    send("pointermove", "mousemove");
    await wait(300);
    const picked = () => curves.data("pick_store").flatMap(one => one.values);
    send("pointerdown", "mousedown", "pointerup", "mouseup", "click");
    await wait(500);
    out.click = picked().length;
    rows[1].click();
    await wait(500);
    Object.assign(out, {rows: rows.length, picked: picked(), asked: run});
    out.width = innerWidth;
    out.wider = document.documentElement.scrollWidth - innerWidth;
    document.querySelectorAll("#runs th")[3].click();
    const cells = [...document.querySelectorAll("#runs tbody td:nth-child(4)")];
    out.sorted = cells.map(cell => Number(cell.textContent));
  } catch (error) { out.error = String(error); }
  parent.postMessage(out, "*");
});
</script></body>"""
# The page in a frame: a window of Chromium has no less than 500 pixels.
_FRAME = """<body style="margin: 0"><iframe src="page.html" style="width: {width}px; height: 900px;
border: 0"></iframe><script>addEventListener("message", ({{data}}) => {{
document.body.innerHTML = "<pre id=probe>" + JSON.stringify(data) + "</pre>"; }});
</script></body>"""


@pytest.mark.parametrize("width", [1400, 400])
def test_the_page_works_in_a_browser(width, log, tmp_path):
    browser = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)
    if browser is None:
        pytest.skip("no Chromium is installed (apt install chromium)")
    page = tmp_path / "page.html"
    main(["report", str(log), "--metric", "val_acc", "--out", str(page)])
    # the last one: the plotting library holds the same text
    before, _, after = page.read_text(encoding="utf-8").rpartition("</body>")
    page.write_text(before + _PROBE + after, encoding="utf-8")
    frame = tmp_path / "frame.html"
    frame.write_text(_FRAME.format(width=width), encoding="utf-8")
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    command += ["--window-size=1500,1000", "--virtual-time-budget=10000"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", frame.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    found = json.loads(done.stdout.partition('<pre id="probe">')[2].partition("</pre>")[0])
    assert "error" not in found, found
    assert found["rows"] == 3
    assert found["width"] == width
    assert found["wider"] <= 0
    assert found["hover"]["run"] == found["asked"]
    assert found["hover"]["epoch"] == "7"
    assert found["click"] == 1
    assert found["picked"] == [found["asked"]]
    assert found["sorted"] == sorted(found["sorted"], reverse=True)


def test_watch_ends_when_a_run_should_end(log, capsys):
    frame = pd.read_csv(log)
    frame.loc[(frame["run"] == "r9") & (frame["epoch"] == 7), "val_acc"] = np.inf
    frame.to_csv(log, index=False)
    assert main(["watch", str(log), "--metric", "val_acc"]) == 3
    assert re.search(r"r9 +│ +stop +│ +7 ", capsys.readouterr().out)


def test_watch_runs_a_command_for_each_run_that_should_end(log, tmp_path):
    frame = pd.read_csv(log)
    low = frame["run"].isin(["r9", "r10", "r11"])
    frame.loc[low & (frame["epoch"] == 7), "val_acc"] = np.inf
    frame[~low | (frame["run"] == "r9")].to_csv(log, index=False)

    def grow():
        time.sleep(4)
        frame.to_csv(log, index=False)

    threading.Thread(target=grow).start()
    command = f"echo {{run}} >> {tmp_path / 'ended'}"
    options = ["--metric", "val_acc", "--every", "0.2", "--exec", command]
    assert main(["watch", str(log), *options]) == 3
    assert (tmp_path / "ended").read_text().split()[0] == "r9"


def _going_on(log):
    """The log's table, in which no run that is under way should end."""
    frame = pd.read_csv(log)
    best = frame["run"].isin(["r9", "r10", "r11"])
    frame.loc[best, "val_acc"] = 0.8 + 0.02 * frame.loc[best, "epoch"]
    return frame


def test_watch_outlives_a_log_that_is_being_written(log, tmp_path, capsys, monkeypatch):
    frame = _going_on(log)
    frame.to_csv(log, index=False)
    whole = log.read_text()
    frame.loc[(frame["run"] == "r9") & (frame["epoch"] == 7), "val_acc"] = np.inf
    # What happens between two readings: a row is cut off, the file is replaced, r9 diverges.
    happens = [
        lambda: log.write_text(f"{whole}r9,1.0,8"),
        log.unlink,
        lambda: log.write_text(whole),
        lambda: frame.to_csv(log, index=False),
    ]
    seen = []

    def sleep(_):
        seen.append(len(happens))
        happens.pop(0)()

    monkeypatch.setattr(time, "sleep", sleep)
    assert main(_typed("watch", log, "--out", log.parent / "page.html")) == 3
    assert seen == [4, 3, 2, 1]
    assert re.search(r"r9 +│ +stop +│ +7 ", capsys.readouterr().out)


def test_watch_waits_for_the_first_values_and_asks_what_it_cannot_wait_for(
    tmp_path, capsys, monkeypatch
):
    path, header = tmp_path / "runs" / "metrics.csv", "epoch,val_acc,train_acc\n"
    path.parent.mkdir()
    grown = "".join(f"{e},{0.1 * e:.1f},0.5\n" for e in range(1, 5))
    happens = [
        lambda: path.write_text(header),
        lambda: path.write_text(header + grown),
        lambda: path.write_text((header + grown).replace("train", "val_top5")),
    ]
    monkeypatch.setattr(time, "sleep", lambda _: happens.pop(0)())
    assert main(["watch", str(path.parent), "--epochs", "20"]) == 1
    unknown, empty, question = capsys.readouterr().err.splitlines()
    assert unknown.startswith("Waiting: ")
    assert "the format is not known" in unknown
    assert empty.startswith("Waiting: ")
    assert question.startswith("Error: ")
    assert "which metric is to be predicted? Say --metric with one of val_acc, val_top5" in question


def test_watch_reads_a_folder_again_where_a_run_has_grown_but_not_for_its_own_page(
    tmp_path, monkeypatch
):
    for run, epochs in (("a", 9), ("b", 4)):
        lines = ["epoch,val_acc", *(f"{e},{0.1 * e + 0.1 * (run == 'b')}" for e in range(epochs))]
        (tmp_path / f"{run}.csv").write_text("\n".join([*lines, ""]))
    page, slept = tmp_path / "page.html", []

    def sleep(_):
        slept.append(page.stat().st_mtime_ns)
        if len(slept) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", sleep)
    assert main(_typed("watch", tmp_path, "--out", page)) == 130
    assert len(set(slept)) == 1


@pytest.mark.parametrize("of_folder", [False, True])
def test_watch_sees_what_a_database_has_in_its_log_and_nothing_else(
    of_folder, tmp_path, monkeypatch
):
    log, page, slept = tmp_path / "project.db", tmp_path / "page.html", []
    with closing(sqlite3.connect(log, isolation_level=None)) as database:
        database.execute("pragma journal_mode = wal")
        database.execute("create table configs (id integer primary key, run_name, config)")
        database.execute("create table metrics (id integer primary key, run_name, step, metrics)")

        def train(run, epoch):
            entry = json.dumps({"val_acc": 0.1 * epoch + 0.1 * (run == "b")})
            row = (run, epoch, entry)
            database.execute("insert into metrics (run_name, step, metrics) values (?, ?, ?)", row)

        for run, epochs in (("a", 9), ("b", 4)):
            for epoch in range(epochs):
                train(run, epoch)

        def sleep(_):
            slept.append(page.stat().st_mtime_ns)
            if len(slept) == 2:
                train("b", 4)
            if len(slept) == 4:
                raise KeyboardInterrupt

        monkeypatch.setattr(time, "sleep", sleep)
        assert main(_typed("watch", tmp_path if of_folder else log, "--out", page)) == 130
    assert [slept.index(at) for at in slept] == [0, 0, 2, 2]


def test_a_command_that_fails_is_said(log, capsys):
    frame = pd.read_csv(log)
    frame.loc[frame["run"].isin(["r9", "r10", "r11"]) & (frame["epoch"] == 7), "val_acc"] = np.inf
    frame.to_csv(log, index=False)
    assert main(_typed("watch", log, "--exec", "exit 7 {run}")) == 3
    assert "Note: status 7 of exit 7 r9\n" in capsys.readouterr().err


def test_brackets_in_the_name_of_a_run_are_no_markup(log, capsys):
    frame = pd.read_csv(log)
    frame.loc[(frame["run"] == "r9") & (frame["epoch"] == 7), "val_acc"] = np.inf
    for name in ("a [/b]", "[b]c"):
        frame.replace({"run": {"r9": name}}).to_csv(log, index=False)
        assert main(_typed("watch", log)) == 3
        assert re.search(rf"{re.escape(name)} +│ +stop ", capsys.readouterr().out)


def _typed(*words):
    return [*map(str, words), "--metric", "val_acc"]


@pytest.mark.parametrize(
    ("mistake", "problem"),
    [
        (lambda log: _typed("inspect", log / "none"), "there is no such file"),
        (lambda log: _typed("report", log.parent), "the format is not known"),
        (lambda log: _typed("report", log, "--out", log.parent), "Is a directory"),
        (lambda log: _typed("report", log, "--out", log / "page.html"), "log.csv: File exists"),
        (lambda log: _typed("report", log, "--model", "gqp"), "unknown model 'gqp'"),
        (lambda log: ["report", str(log), "--metric", "val_ac"], "no metric 'val_ac'"),
        (lambda log: _typed("watch", "-"), "standard input cannot be watched"),
    ],
)
def test_a_mistake_is_one_line(mistake, problem, log, capsys):
    arguments = mistake(log)
    if "format" in problem:
        log.unlink()
    assert main(arguments) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("Error: ")
    assert problem in line


def test_a_log_of_untrained_networks_is_one_line(log, capsys):
    frame = pd.read_csv(log)
    frame[frame["epoch"] == 1].assign(epoch=0).to_csv(log, index=False)
    assert main(_typed("report", log)) == 1
    assert "no run has a value up to epoch 1" in capsys.readouterr().err


def test_a_bad_cell_is_one_line_that_names_it(log, capsys):
    text = log.read_text().splitlines()
    text[3] = text[3].replace(",3,", ",three,")
    log.write_text("\n".join(text))
    assert main(["inspect", str(log)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "column epoch" in line
    assert str(log) in line


def test_inspect_asks_where_something_is_open_and_names_what_is_wrong(log, capsys):
    frame = pd.read_csv(log)
    frame.assign(hp_lr=1, lr=2).to_csv(log, index=False)
    assert main(_typed("inspect", log)) == 1
    assert "both this column and" in capsys.readouterr().err
    assert main(["inspect", str(log), "--metric", "val"]) == 1
    assert "no metric 'val'" in capsys.readouterr().err
    frame.rename(columns={"val_acc": "x: y", "val_loss": "z"}).to_csv(log, index=False)
    assert main(["inspect", str(log)]) == 0
    question = "question  which metric is to be predicted? Say --metric with one of x: y, z\n"
    assert question in capsys.readouterr().out


@pytest.mark.parametrize(
    "option",
    [
        *("--level 1.5", "--level 0", "--level nan", "--promise 90", "--promise 0"),
        *("--epochs 0", "--epochs -3", "--every -1", "--every inf"),
    ],
)
def test_a_number_that_does_not_fit_is_wrong_usage(option, log, capsys):
    with pytest.raises(SystemExit) as wrong:
        main(_typed("watch", log, *option.split()))
    assert wrong.value.code == 2
    name, value = option.split()
    assert f"argument {name}: {value!r} is not a" in capsys.readouterr().err


def test_an_interrupt_ends_without_a_word(log, capsys, monkeypatch):
    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", interrupt)
    _going_on(log).to_csv(log, index=False)
    assert main(_typed("watch", log)) == 130
    assert "Traceback" not in capsys.readouterr().err


def test_a_table_comes_from_standard_input(log, monkeypatch, capsys):
    assert main(_typed("inspect", log)) == 0
    expected = capsys.readouterr().out.replace(str(log), "-")
    for content in (
        log.read_bytes(),
        log.read_text().encode("utf-16"),
        gzip.compress(log.read_bytes()),
        pd.read_csv(log).to_json(orient="records", lines=True).encode(),
    ):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
        assert main(_typed("inspect", "-")) == 0
        assert capsys.readouterr().out == expected
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    assert main(_typed("inspect", "-")) == 1
    assert capsys.readouterr().err == "Error: file stdin: nothing came in\n"


def test_a_table_comes_from_a_pipe(log, tmp_path, capsys):
    assert main(_typed("inspect", log)) == 0
    pipe = tmp_path / "pipe"
    expected = capsys.readouterr().out.replace(str(log), str(pipe))
    os.mkfifo(pipe)
    threading.Thread(target=lambda: pipe.write_bytes(log.read_bytes())).start()
    assert main(_typed("inspect", pipe)) == 0
    assert capsys.readouterr().out == expected


def test_a_name_that_the_terminal_cannot_show_is_escaped(log, monkeypatch):
    shown = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(shown, encoding="ascii"))
    pd.read_csv(log).replace({"run": {"r0": "größe"}}).to_csv(log, index=False)
    assert main(_typed("predict", log)) == 0
    assert b"gr\\xf6\\xdfe" in shown.getvalue()


def test_settings_that_all_runs_share_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [f"{run},{epoch},{run / 10},adam,3,{epoch / 10}" for run in (1, 2) for epoch in (1, 2)]
    path = tmp_path / "log.csv"
    path.write_text("\n".join(["run,epoch,lr,optimizer,seed,val_acc", *rows]) + "\n")
    assert main(["inspect", str(path)]) == 0
    assert "settings  lr (0.1 to 0.2); 2 equal in all runs\n" in capsys.readouterr().out


def test_earlier_logs_teach_the_network_that_answers(log, tmp_path, capsys):
    runs = pd.read_csv(log)
    done = runs[runs.groupby("run")["epoch"].transform("max") == 20]
    logs = [str(tmp_path / f"{i}.csv") for i in range(5)]
    for path in logs:
        again = done.assign(run="x" + done["run"], val_acc=0.9 * done["val_acc"])
        pd.concat([done, again]).to_csv(path, index=False)
    own, question = tmp_path / "own.safetensors", ["--metric", "val_acc"]
    assert main(["adapt", *logs, *question, "--out", str(own), "--steps", "2"]) == 0
    told = capsys.readouterr()
    assert "90 finished runs of 5 tasks, 2 steps" in told.err
    assert told.out == f"From now on: --model pfn:{own}\n"
    assert main(["adapt", *logs[:4], *question, "--out", str(own)]) == 1
    assert "at least 5 are needed" in capsys.readouterr().err
    page = tmp_path / "page.html"
    model = ["--model", f"pfn:{own}"]
    assert main(["report", str(log), *question, *model, "--out", str(page)]) == 0
    capsys.readouterr()
    for command in ("predict", "stop"):
        answers = []
        for given in ([f"pfn:{own}"], []):
            assert main([command, *given, str(log), *question, "--format", "csv"]) in (0, 3)
            answers.append(capsys.readouterr().out)
        assert answers[0] != answers[1]
        assert answers[0].splitlines()[0] == answers[1].splitlines()[0]
    assert main(["report", str(log), *question, "--model", "ridge:x", "--out", str(page)]) == 1
    assert "model 'ridge' has no option 'weights'" in capsys.readouterr().err
    assert main(["predict", f"pfn:{page}", str(log), *question]) == 1
    assert "Error:" in capsys.readouterr().err
