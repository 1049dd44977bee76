"""The callback in real trainings with the Hugging Face Trainer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

transformers = pytest.importorskip("transformers", reason="transformers is not installed")
pytest.importorskip("accelerate", reason="accelerate is not installed")

import torch

from curvecast import CurveSet, DataError, read
from curvecast.integrations.transformers import CurveCallback

STEPS = 24


class Words(torch.utils.data.Dataset):
    """Random words; the class is whether the first one is in the first half of the vocabulary."""

    def __init__(self, n: int, seed: int) -> None:
        self.ids = torch.randint(0, 20, (n, 4), generator=torch.Generator().manual_seed(seed))

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, row: int) -> dict[str, torch.Tensor]:
        ids = self.ids[row]
        return {
            "input_ids": ids,
            "attention_mask": torch.ones_like(ids),
            "labels": (ids[0] < 10).long(),
        }


def train(
    folder: Path,
    lr: float,
    *callbacks: Any,
    seed: int = 0,
    evaluated: Any = None,
    resume_from_checkpoint: str | None = None,
    **options: Any,
) -> Any:
    torch.manual_seed(seed)
    config = transformers.BertConfig(
        vocab_size=20,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=8,
    )
    arguments = transformers.TrainingArguments(
        output_dir=str(folder),
        max_steps=STEPS,
        eval_steps=3,
        logging_steps=3,
        learning_rate=lr,
        lr_scheduler_type="constant",
        per_device_train_batch_size=16,
        per_device_eval_batch_size=128,
        report_to=[],
        disable_tqdm=True,
        use_cpu=True,
        seed=seed,
        **{"eval_strategy": "steps", "save_strategy": "no"} | options,
    )
    trainer = transformers.Trainer(
        model=transformers.BertForSequenceClassification(config),
        args=arguments,
        train_dataset=Words(512, 0),
        eval_dataset=evaluated or Words(128, 1),
        callbacks=list(callbacks),
    )
    trainer.train(resume_from_checkpoint=resume_from_checkpoint)
    trainer.save_state()
    return trainer


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> CurveSet:
    """Five finished trainings, read from the trainer's own files."""
    folder = tmp_path_factory.mktemp("transformers")
    for n, lr in enumerate((0.0005, 0.001, 0.0015, 0.002, 0.003)):
        train(folder / f"lr={lr}", lr, seed=n)
    return read(folder, "eval_loss", "minimize")


def test_a_training_that_cannot_win_is_ended_and_says_why(
    finished: CurveSet, tmp_path: Path
) -> None:
    callback = CurveCallback("eval_loss", earlier=finished, config={"lr": 1e-5})
    trainer = train(tmp_path, 1e-5, callback)
    assert 3 <= trainer.state.global_step < STEPS
    assert callback.watch.history[-1].reason == "predicted worse"
    table = pd.read_csv(tmp_path / "curvecast.csv")
    assert table["epoch"].tolist() == list(range(3, trainer.state.global_step + 1, 3))
    state = json.loads((tmp_path / "trainer_state.json").read_text())
    told = [entry for entry in state["log_history"] if "curvecast_predicted" in entry]
    assert [entry["step"] for entry in told] == table["epoch"].tolist()
    assert all(entry["curvecast_low"] <= entry["curvecast_high"] for entry in told)


def test_a_good_training_and_one_that_is_only_watched_go_on(
    finished: CurveSet, tmp_path: Path
) -> None:
    good = CurveCallback(earlier=finished, config={"lr": 0.02})
    assert train(tmp_path / "good", 0.02, good).state.global_step == STEPS
    watched = CurveCallback(earlier=finished, config={"lr": 1e-5}, stop=False)
    assert train(tmp_path / "bad", 1e-5, watched).state.global_step == STEPS
    assert watched.watch.history[-1].stop


def test_a_training_that_goes_on_from_a_checkpoint_has_its_whole_curve(tmp_path: Path) -> None:
    saved = {"save_strategy": "steps", "save_steps": 12}
    whole, resumed = CurveCallback(), CurveCallback()
    train(tmp_path, 0.01, whole, **saved)
    checkpoint = str(tmp_path / "checkpoint-12")
    train(tmp_path, 0.01, resumed, resume_from_checkpoint=checkpoint, **saved)
    pd.testing.assert_frame_equal(
        pd.DataFrame(resumed.watch.history), pd.DataFrame(whole.watch.history)
    )
    assert pd.read_csv(tmp_path / "curvecast.csv")["epoch"].tolist() == list(range(3, STEPS, 3))


def test_the_prediction_has_bounds_in_tensorboard(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(tmp_path / "events") as writer:
        train(tmp_path, 0.01, CurveCallback(writer=writer))
    events = EventAccumulator(str(tmp_path / "events"))
    events.Reload()
    assert {"curvecast/predicted", "curvecast/low", "curvecast/high"} <= set(
        events.Tags()["scalars"]
    )
    assert len(events.Scalars("curvecast/predicted")) == STEPS // 3 - 1


def test_a_training_without_evaluation_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    train(tmp_path, 0.01, CurveCallback(), eval_strategy="no")
    assert "eval_loss was never validated, nothing is predicted" in caplog.text


def test_a_metric_that_is_not_evaluated_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="'eval_f1' is not logged; there are epoch, eval_loss"):
        train(tmp_path, 0.01, CurveCallback("eval_f1", "max"))


@pytest.mark.parametrize("metric", ["eval_near_loss", "eval_far_loss"])
def test_of_several_data_sets_one_has_the_metric(metric: str, tmp_path: Path) -> None:
    several = {"near": Words(64, 1), "far": Words(64, 2)}
    callback = CurveCallback(metric)
    trainer = train(tmp_path, 0.01, callback, evaluated=several)
    assert [advice.epoch for advice in callback.watch.history] == list(range(3, STEPS, 3))
    trainer.evaluate(Words(64, 3), metric_key_prefix="test")
    with pytest.raises(DataError, match="'eval_loss' is not logged"):
        train(tmp_path, 0.01, CurveCallback("eval_loss"), evaluated=several)
