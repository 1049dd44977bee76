"""Lines that programs print are read as numbers of epochs."""

import pytest

from curvecast.data.logs import read_log
from curvecast.files import DataError

# What a program prints; rows of epoch and numbers that it says.
PRINTED = {
    "nanoGPT": (
        """number of parameters: 10.65M
step 0: train loss 4.2874, val loss 4.2823
iter 10: loss 3.2416, time 101.26ms
step 20: train loss 1.9634, val loss 2.0612
""",
        [
            (1, {"train loss": 4.2874, "val loss": 4.2823}),
            (11, {"loss": 3.2416}),
            (21, {"train loss": 1.9634, "val loss": 2.0612}),
        ],
    ),
    "PyTorch's example of MNIST": (
        """Train Epoch: 1 [640/60000 (1%)]\tLoss: 1.739885
Test set: Average loss: 0.0483, Accuracy: 9840/10000 (98%)
Train Epoch: 2 [640/60000 (1%)]\tLoss: 0.099825
Test set: Average loss: 0.0383, Accuracy: 9870/10000 (99%)
""",
        [
            (1, {"train Loss": 1.739885, "test Average loss": 0.0483, "test Accuracy": 0.984}),
            (2, {"train Loss": 0.099825, "test Average loss": 0.0383, "test Accuracy": 0.987}),
        ],
    ),
    "Keras": (
        "Epoch 1/2\n\x1b[1m 1/98\x1b[0m \x1b[1m1:03\x1b[0m 650ms/step - accuracy: 0.1 - loss: 2.4\r"
        "98/98 ━━━━ 2s 12ms/step - accuracy: 0.45 - loss: 1.7 - val_accuracy: 0.82\n"
        "Epoch 2/2\n98/98 ━━━━ 1s 11ms/step - accuracy: 0.85 - loss: nan - val_accuracy: 0.88\n",
        [
            (1, {"accuracy": 0.45, "loss": 1.7, "val_accuracy": 0.82}),
            (2, {"accuracy": 0.85, "loss": float("inf"), "val_accuracy": 0.88}),
        ],
    ),
    "a progress bar, arguments and sentences": (
        """Namespace(epochs=90, lr=0.1)
epoch: 90
{'epoch': 300,
 'lr_factor': 0.5}
EPOCH: 1 LR: 0.0944
Loss=4.01 Batch_id=300 Accuracy=6.92: 100%|████| 301/301 [02:38<00:00,  1.89it/s]
Epoch 1: val_loss improved from inf to 0.34510, saving model
EPOCH: 2 LR: 0.0211
Loss=3.6 Batch_id=300 Accuracy=14.79: 100%|████| 301/301 [02:38<00:00,  1.90it/s]
""",
        [
            (1, {"Loss": 4.01, "Batch_id": 300, "Accuracy": 6.92}),
            (2, {"Loss": 3.6, "Batch_id": 300, "Accuracy": 14.79}),
        ],
    ),
    "a part in another form of its word": (
        """INFO - Validating Epoch: 1, accuracy: 0.94, F1: 0.5
DEBUG - Testing Epoch: 1, accuracy: 0.93, F1: 0.4
INFO - Validating Epoch: 2, accuracy: 0.95, F1: 0.6
""",
        [
            (
                1,
                {"validating accuracy": 0.94, "validating F1": 0.5}
                | {"testing accuracy": 0.93, "testing F1": 0.4},
            ),
            (2, {"validating accuracy": 0.95, "validating F1": 0.6}),
        ],
    ),
    "sentences that say a number": (
        """device: 0, API Version: 10.1, seed: 7
Epoch 0, Step 25, total used time 7.17 (s), avg loss so far is 0.1097
Epoch 0, val loss is 0.0477, val mse is 0.0242.
Epoch 1, Step 25, total used time 47.7 (s), avg loss so far is 0.0395
Epoch 1, val loss is 0.0452, val mse is 0.0219.
New checkpoint with val mse: 0.0219
Epoch 2, val loss is 0.0442, val mse is 0.0209.
""",
        [
            (1, {"avg loss": 0.1097, "val loss": 0.0477, "val mse": 0.0242}),
            (2, {"avg loss": 0.0395, "val loss": 0.0452, "val mse": 0.0219}),
            (3, {"val loss": 0.0442, "val mse": 0.0209}),
        ],
    ),
    "an epoch before its word": (
        "1 epoch, loss is: 0.5, acc is: 81.5%\n2 epoch, loss is: nan, acc is: 82.5%\n",
        [(1, {"loss": 0.5, "acc": 81.5}), (2, {"loss": float("inf"), "acc": 82.5})],
    ),
    "Lightning's ModelCheckpoint": (
        """Epoch 0, global step 352: 'val/acc' reached 0.17 (best 0.17), saving model to 'a.ckpt'
Epoch 1, global step 704: 'val/acc' reached 0.26 (best 0.26), saving model to 'b.ckpt'
Epoch 2, global step 1056: 'val/acc' was not in top 1
""",
        [(1, {"val/acc": 0.17}), (2, {"val/acc": 0.26})],
    ),
    "steps of few epochs": (
        """Epoch [1/2], Step [100/300], Loss: 0.9
Epoch [1/2], Step [300/300], Loss: 0.8
Epoch [1/2] val_loss: 0.85
Epoch [2/2], Step [100/300], Loss: 0.7
""",
        [(100, {"Loss": 0.9}), (300, {"Loss": 0.8, "val_loss": 0.85}), (400, {"Loss": 0.7})],
    ),
    "steps of many epochs": (
        "Epoch [1/9], Step [10/30], Loss: 0.9\nEpoch [2/9], Step [10/30], Loss: 0.8\n",
        [(1, {"Loss": 0.9}), (2, {"Loss": 0.8})],
    ),
    "XGBoost": (
        "[0]\tvalidation_0-auc:0.81\n[1]\tvalidation_0-auc:0.83\n",
        [(1, {"validation_0-auc": 0.81}), (2, {"validation_0-auc": 0.83})],
    ),
    "LightGBM": (
        "[LightGBM] [Info] Total Bins 6132\n[10]\tvalid_0's l2: 0.23\n[20]\tvalid_0's l2: 0.2\n",
        [(10, {"valid_0's l2": 0.23}), (20, {"valid_0's l2": 0.2})],
    ),
    "CatBoost": (
        "0:\tlearn: 0.68\ttotal: 50ms\tremaining: 49.9s\n1:\tlearn: 0.67\ttotal: 60ms\n",
        [(1, {"learn": 0.68}), (2, {"learn": 0.67})],
    ),
    "the Hugging Face Trainer": (
        """{'loss': 2.1, 'learning_rate': 4e-05, 'epoch': 0.5}
{'loss': 1.9, 'learning_rate': 3e-05, 'epoch': 1.0}
{'eval_loss': 1.85, 'epoch': 1.0}
{'eval_loss': 1.75, 'epoch': 2.0}
""",
        [(1, {"loss": 1.9, "eval_loss": 1.85}), (2, {"eval_loss": 1.75})],
    ),
    "Megatron-LM": (
        """ iteration      100/    500 | learning rate: 1.0E-04 | lm loss: 8.1 |
 iteration      200/    500 | learning rate: 1.0E-04 | lm loss: 7.2E-01 |
 validation loss at iteration 200 | lm loss value: 7.5E+00 | lm loss PPL: 1.8E+03 |
""",
        [
            (100, {"lm loss": 8.1}),
            (200, {"lm loss": 0.72, "validation loss value": 7.5, "validation loss PPL": 1800.0}),
        ],
    ),
    "fairseq": (
        """2026-01-01 10:00:00 | INFO | train | epoch 001 | loss 9.9 | ppl 955.2
2026-01-01 10:00:00 | INFO | valid | epoch 001 | valid on 'valid' subset | loss 9.2 | ppl 300.1
2026-01-01 10:10:00 | INFO | valid | epoch 002 | valid on 'valid' subset | loss 8.2 | ppl 200.1
""",
        [
            (1, {"train loss": 9.9, "train ppl": 955.2, "valid loss": 9.2, "valid ppl": 300.1}),
            (2, {"valid loss": 8.2, "valid ppl": 200.1}),
        ],
    ),
    "the Trainer of Transformers 5": (
        "{'loss': '1.9', 'grad_norm': '0.5', 'learning_rate': '1e-05', 'epoch': '1'}\n"
        "{'eval_loss': '1.7', 'epoch': '1'}\n{'eval_loss': '1.6', 'epoch': '2'}\n",
        [(1, {"loss": 1.9, "eval_loss": 1.7}), (2, {"eval_loss": 1.6})],
    ),
    "PyTorch's example of ImageNet, values with the mean so far": (
        "Epoch: [0][1/50]\tTime 3.1 ( 3.1)\tData 2.1 ( 2.1)\tLoss 6.9e+00 (7.0e+00)\n"
        "Test: [ 0/20]\tTime  3.9 ( 3.9)\tLoss 4.9e+00 (4.9e+00)\n *   Acc@1 10.214\n"
        "Epoch: [1][1/50]\tTime 3.1 ( 3.1)\tData 2.1 ( 2.1)\tLoss 6.0e+00 (6.5e+00)\n",
        [(1, {"Loss": 7.0, "test Loss": 4.9, "test Acc@1": 10.214}), (2, {"Loss": 6.5})],
    ),
    "timm": (
        "Train: 0 [ 0/390 ( 0%)]  Loss: 6.9 (6.8)  Time: 1.2s,  100.5/s  LR: 1.0e-03\n"
        "Test: [ 78/78]  Time: 0.1 (0.2)  Loss:  3.1 ( 3.2)  Acc@1: 20.1 (20.2)\n"
        "Train: 1 [ 0/390 ( 0%)]  Loss: 6.1 (6.2)  Time: 1.2s,  100.5/s  LR: 1.0e-03\n"
        "Test: [ 78/78]  Time: 0.1 (0.2)  Loss:  3.0 ( 3.1)  Acc@1: 19.1 (19.2)\n"
        "*** Best metric: 20.2 (epoch 0)\n",
        [
            (1, {"train Loss": 6.8, "test Loss": 3.2, "test Acc@1": 20.2}),
            (2, {"train Loss": 6.2, "test Loss": 3.1, "test Acc@1": 19.2}),
        ],
    ),
    "MMEngine": (
        "07/01 10:00:00 - mmengine - INFO - Epoch(train)  [1][100/390]  lr: 1.0e-01  loss: 1.9\n"
        "07/01 10:00:00 - mmengine - INFO - Epoch(val) [1][79/79]    accuracy/top1: 35.5000\n"
        "07/01 10:00:00 - mmengine - INFO - Epoch(train)  [2][100/390]  lr: 1.0e-01  loss: 1.5\n",
        [(1, {"train loss": 1.9, "val accuracy/top1": 35.5}), (2, {"train loss": 1.5})],
    ),
    "ESPnet, with the place in the program": (
        "[host] (trainer:320) INFO: 1epoch results: [train] loss=25.9, [valid] loss=20.9, acc=0.6\n"
        "[host] trainer.py:320: 2epoch results: [train] loss=24.9, [valid] loss=19.9, acc=0.7\n",
        [
            (1, {"train loss": 25.9, "valid loss": 20.9, "valid acc": 0.6}),
            (2, {"train loss": 24.9, "valid loss": 19.9, "valid acc": 0.7}),
        ],
    ),
    "XGBoost with the time": (
        "[12:00:01] [0]\ttrain-rmse:0.9\n[12:00:02] [1]\ttrain-rmse:0.8\n",
        [(1, {"train-rmse": 0.9}), (2, {"train-rmse": 0.8})],
    ),
    "diffusers, a progress bar alone": (
        "Map: 100%|████| 900/900 [00:01<00:00, 900.1 examples/s]\n"
        "Steps:   2%|▏ | 10/500 [00:10<08:00, 1.2it/s, lr=1e-05, step_loss=0.3]\r"
        "Steps:   4%|▏ | 20/500 [00:20<07:50, 1.2it/s, lr=1e-05, step_loss=0.2]\n",
        [(10, {"step_loss": 0.3}), (20, {"step_loss": 0.2})],
    ),
    "DeePMD-kit's lcurve.out": (
        "#  step      rmse_val    rmse_trn    lr\n"
        "     100     2.10e+01    2.00e+01    1.0e-03\n"
        "     200     1.10e+01    1.00e+01    1.0e-03\n",
        [(100, {"rmse_val": 21, "rmse_trn": 20}), (200, {"rmse_val": 11, "rmse_trn": 10})],
    ),
    "the table of COCO's evaluation": (
        "Epoch: 1 loss: 3.5\n"
        " Average Precision  (AP) @[ IoU=0.50:0.95 | area=   all | maxDets=100 ] = 0.374\n"
        " Average Recall     (AR) @[ IoU=0.50      | area= small | maxDets=  1 ] = -1.000\n"
        "Epoch: 2 loss: 2.5\n",
        [(1, {"loss": 3.5, "AP50-95/all/100": 0.374, "AR50/small/1": -1}), (2, {"loss": 2.5})],
    ),
    "the boxes of stable-baselines3": (
        "Logging to /tmp/run\n"
        "-------------------------------\n| rollout/           |        |\n"
        "|    ep_rew_mean     | 20.5   |\n| time/              |        |\n"
        "|    fps             | 900    |\n|    total_timesteps | 2048   |\n"
        "-------------------------------\n"
        "-------------------------------\n|    ep_rew_mean     | 2.5e+1 |\n"
        "|    total_timesteps | 4096   |\n|    value_loss      | 0.7    |\n"
        "-------------------------------\n",
        [(2048, {"ep_rew_mean": 20.5}), (4096, {"ep_rew_mean": 25, "value_loss": 0.7})],
    ),
    "torchtitan, with rates": (
        "step:  1  loss:  8.1  grad_norm: 1.2  memory: 20.1GiB(30.2%)  tps: 3,123  mfu: 20.1%\n"
        "step: 10  loss:  7.1  grad_norm: 1.1  memory: 20.1GiB(30.2%)  tps: 3,123  mfu: 20.1%\n",
        [(1, {"loss": 8.1}), (10, {"loss": 7.1})],
    ),
    "Coqui TTS, with the change in brackets": (
        "> EPOCH: 1/9\n | > avg_loss: 0.95 (-0.10)\n> EPOCH: 2/9\n | > avg_loss: 0.97 (+0.02)\n"
        "> EPOCH: 3/9\n | > avg_loss: -0.1 (-0.07)\n",
        [(1, {"avg_loss": 0.95}), (2, {"avg_loss": 0.97}), (3, {"avg_loss": -0.07})],
    ),
    "CatBoost with the best one": (
        "0:\ttest: 0.9\tbest: 0.9 (0)\n1:\ttest: 0.95\tbest: 0.9 (0)\n",
        [(1, {"test": 0.9}), (2, {"test": 0.95})],
    ),
    "fastai, a table": (
        "epoch     train_loss  valid_loss  accuracy  time    \n"
        "0         1.900000    1.100000    0.700000  00:10     \n"
        "1         1.500000    0.900000    0.750000  00:10     \n",
        [
            (1, {"train_loss": 1.9, "valid_loss": 1.1, "accuracy": 0.7}),
            (2, {"train_loss": 1.5, "valid_loss": 0.9, "accuracy": 0.75}),
        ],
    ),
    "skorch, a coloured table": (
        "  epoch    train_loss    valid_acc     dur\n-------  ------------  -----------  ------\n"
        "      1        \x1b[36m0.7111\x1b[0m       \x1b[32m0.5000\x1b[0m  0.0316\n"
        "      2        0.7211       0.5100  0.0316\n",
        [
            (1, {"train_loss": 0.7111, "valid_acc": 0.5}),
            (2, {"train_loss": 0.7211, "valid_acc": 0.51}),
        ],
    ),
    "spaCy, names of two words": (
        "E    #       LOSS TAGGER  TAG_ACC \n---  ------  -----------  -------\n"
        "  0       0        50.90    20.10\n  1     200        40.90    25.10\n",
        [
            (1, {"LOSS TAGGER": 50.9, "TAG_ACC": 20.1}),
            (2, {"LOSS TAGGER": 40.9, "TAG_ACC": 25.1}),
        ],
    ),
    "scikit-learn, counts in brackets": (
        "[1/100] 1 tree, 31 leaves, train loss: 0.90, val loss: 0.92, in 0.010s\n"
        "[2/100] 1 tree, 31 leaves, train loss: 0.80, val loss: 0.82, in 0.010s\n",
        [(1, {"train loss": 0.9, "val loss": 0.92}), (2, {"train loss": 0.8, "val loss": 0.82})],
    ),
    "per cent without a point, rates, a bar": (
        "Epoch 1/2: train loss 0.9, val accuracy 91%\nValidation: 100%|███| 3/3\n"
        "Epoch 2/2: train loss 0.8, val accuracy 92 %, samples/sec: 300.5\n",
        [
            (1, {"train loss": 0.9, "val accuracy": 91}),
            (2, {"train loss": 0.8, "val accuracy": 92}),
        ],
    ),
    "the best one before the count": (
        "best_acc=0.7 Epoch 1: loss=0.9\nbest_acc=0.7 Epoch 2: loss=0.8\nBest: epoch 1, acc=0.7\n",
        [(1, {"loss": 0.9}), (2, {"loss": 0.8, "acc": 0.7})],
    ),
    "nnU-Net, a number per class": (
        "2026-01-01 10:00:00.1: Epoch 0\n2026-01-01 10:02:00.1: val_loss -0.51\n"
        "2026-01-01 10:02:00.2: Pseudo dice [0.9, nan, 0.7]\n"
        "2026-01-01 10:02:00.3: Yayy! New best EMA pseudo Dice: 0.75\n"
        "2026-01-01 10:02:01.0: Epoch 1\n2026-01-01 10:04:00.1: val_loss -0.61\n"
        "2026-01-01 10:04:00.2: Pseudo dice [nan, nan, nan]\n",
        [(1, {"val_loss": -0.51, "Pseudo dice": 0.8}), (2, {"val_loss": -0.61})],
    ),
    "Flair, development data": (
        "2026-01-01 10:00:00,000 epoch 1 - iter 10/20 - loss 0.9 - samples/sec: 71.69\n"
        "2026-01-01 10:00:01,000 DEV : loss 0.7 - f1-score (micro avg)  0.65\n"
        "2026-01-01 10:00:02,000 epoch 2 - iter 10/20 - loss 0.8 - samples/sec: 71.69\n",
        [(1, {"loss": 0.9, "dev loss": 0.7, "dev f1-score": 0.65}), (2, {"loss": 0.8})],
    ),
    "PaddleOCR, evaluations and the best one": (
        "INFO: epoch: [1/50], global_step: 10, acc: 0.5, avg_reader_cost: 1.29 s, ips: 4.7\n"
        "INFO: cur metric, acc: 0.4, norm_edit_dis: 0.6, fps: 120.5\n"
        "INFO: best metric, acc: 0.41, is_float16: False, best_epoch: 1\n"
        "INFO: epoch: [2/50], global_step: 20, acc: 0.6, avg_reader_cost: 1.29 s, ips: 4.7\n",
        [(1, {"acc": 0.5, "eval acc": 0.4, "eval norm_edit_dis": 0.6}), (2, {"acc": 0.6})],
    ),
    "WeNet, cross-validation": (
        "INFO Epoch 0 TRAIN info lr 0.0001\nDEBUG TRAIN Batch 0/0 loss 9.5 rank 0\n"
        "DEBUG CV Batch 0/0 loss 8.5 rank 0\nINFO Epoch 1 TRAIN info lr 0.0001\n",
        [(1, {"train loss": 9.5, "cv loss": 8.5})],
    ),
    "Chainer, a table whose columns say their part": (
        "epoch  validation/main/loss  main/accuracy  elapsed_time\n"
        "1      0.9                   0.61           3.1\n"
        "2      0.8                   0.62           6.2\n",
        [
            (1, {"validation/main/loss": 0.9, "main/accuracy": 0.61}),
            (2, {"validation/main/loss": 0.8, "main/accuracy": 0.62}),
        ],
    ),
    "PyTorch's tutorial, epoch and batch in brackets": (
        "[1,  2000] loss: 2.215\n[1,  4000] loss: 1.896\n[2,  2000] loss: 1.415\n",
        [(1, {"loss": 1.896}), (2, {"loss": 1.415})],
    ),
    "TensorFlow's estimators": (
        "INFO:tensorflow:loss = 0.6, step = 100 (1 sec)\nINFO:tensorflow:global_step/sec: 83.2\n"
        "INFO:tensorflow:Saving dict for global step 100: accuracy = 0.9, loss = 0.5\n"
        "INFO:tensorflow:loss = 0.4, step = 200 (1.201 sec)\n",
        [(100, {"loss": 0.6, "eval accuracy": 0.9, "eval loss": 0.5}), (200, {"loss": 0.4})],
    ),
    "DeepSpeed, rates": (
        "epoch=0/micro_step=10/global_step=10, RunningAvgSamplesPerSec=10.1, MemAllocated=5.1GB\n"
        "Epoch: 0, Step: 10, Rank: 0, loss = 0.6\nEpoch: 0, Step: 20, Rank: 0, loss = 0.5\n",
        [(10, {"loss": 0.6}), (20, {"loss": 0.5})],
    ),
    "a step of a total": (
        "Batch size: 64 | step/total_steps: 10 / 40 | loss: 0.91 | dt: 100.12ms\n"
        "Batch size: 64 | step/total_steps: 20 / 40 | loss: 0.81 | dt: 100.12ms\n",
        [(10, {"loss": 0.91}), (20, {"loss": 0.81})],
    ),
    "episodes": (
        "Episode 10\tAverage Score: -112.5\nEpisode 20\tAverage Score: -90.5\n",
        [(10, {"Average Score": -112.5}), (20, {"Average Score": -90.5})],
    ),
}


@pytest.mark.parametrize("program", PRINTED)
def test_what_a_program_printed_is_read(program, tmp_path):
    text, expected = PRINTED[program]
    (tmp_path / "run.log").write_text(text, encoding="utf-8")
    log = read_log(tmp_path / "run.log")
    read = [
        (row.pop("epoch"), {k: v for k, v in row.items() if k != "run" and v == v})
        for row in log.rows.to_dict("records")
    ]
    assert read == expected
    assert set(log.rows["run"]) == {"run"}


def test_all_runs_count_the_same(tmp_path):
    steps = [f"step {n}: loss {1 / n}" for n in (10, 20)]
    (tmp_path / "begun.out").write_text("\n".join(["epoch 1", *steps, ""]))
    (tmp_path / "longer.out").write_text("\n".join(["epoch 1", *steps, "epoch 2", *steps, ""]))
    log = read_log(tmp_path)
    assert log.rows[["run", "epoch"]].to_numpy().tolist() == [
        ["begun", 1],
        ["longer", 1],
        ["longer", 2],
    ]


def test_what_is_planned_is_read_and_a_line_without_its_end_is_not(tmp_path):
    lines = [f"Epoch [{e}/10], Step [100/600], Loss: {1 / e}" for e in (1, 2, 3)] + ["epoch 3 ends"]
    (tmp_path / "a.log").write_text("\n".join([*lines, "Epoch [4/10], Step [100/600], Loss: 0.2"]))
    log = read_log(tmp_path / "a.log")
    assert (log.planned, log.metrics) == ({"a": 10}, ["Loss"])
    assert log.rows["epoch"].tolist() == [1, 2, 3]  # the last line is still being written


@pytest.mark.parametrize(("last", "planned"), [(4, 5), (2, 4)])
def test_counts_from_zero_to_the_number_that_is_told_are_one_more(last, planned, tmp_path):
    lines = [f"Epoch {e}/4: val_loss={1 / (1 + e)}\n" for e in range(last + 1)]
    (tmp_path / "a.log").write_text("".join(lines))
    log = read_log(tmp_path / "a.log")
    assert (log.rows["epoch"].max(), log.planned) == (last + 1, {"a": planned})


def test_a_table_beside_what_was_printed_is_what_counts(tmp_path):
    (tmp_path / "a.out").write_text("epoch 1 loss 0.5\nepoch 2 loss 0.4\n")
    (tmp_path / "metrics.csv").write_text("epoch,val_loss\n0,0.5\n1,0.4\n")
    assert read_log(tmp_path).tool == "Lightning"


def test_a_file_without_counts_is_left_out_and_said(tmp_path):
    (tmp_path / "a.txt").write_text("epoch 1, loss 0.5\nepoch 2, loss 0.4, best, yes\n")
    (tmp_path / "requirements.txt").write_text("numpy==2.1\ntorch>=2.0\n")
    log = read_log(tmp_path)
    assert log.runs == ["a"]
    assert any(note.startswith("requirements: no line names") for note in log.notes)


def test_what_is_said_of_many_files_is_said_once(tmp_path):
    (tmp_path / "a.log").write_text("epoch 1: loss=0.5\nepoch 2: loss=0.4\n")
    for name in "bcdef":
        (tmp_path / f"{name}.log").write_text("nothing yet\n")
    notes = read_log(tmp_path).notes
    assert notes == (
        "b, c, d and 2 more: no line names a number of an epoch, the file was left out",
    )


def test_text_that_counts_nothing_is_no_log(tmp_path):
    (tmp_path / "a.txt").write_text("hello: 3.5\nlr = 0.1\n")
    with pytest.raises(DataError, match="format is not known"):
        read_log(tmp_path / "a.txt")


def test_the_best_epoch_alone_counts_nothing(tmp_path):
    lines = [f"Val Loss: {1 / e}\nDuration: 10, Best Val Epoch: {e}\n" for e in (1, 2, 3)]
    (tmp_path / "a.log").write_text("".join(lines))
    with pytest.raises(DataError, match="format is not known"):
        read_log(tmp_path)


def test_counts_in_brackets_that_begin_again_count_no_training(tmp_path):
    lines = [f"[{step}/3] loss: {step + 0.5}\n" for _ in range(2) for step in (1, 2, 3)]
    (tmp_path / "a.log").write_text("".join(lines))
    with pytest.raises(DataError, match="format is not known"):
        read_log(tmp_path)


def test_numbers_of_no_metric_that_are_printed_once_are_left_out(tmp_path):
    lines = [f"epoch {e}: loss={1 / e} goals=0" for e in range(1, 5)]
    lines[0] += " workers: 4 seed=7"
    file = tmp_path / "train.log"
    file.write_text("\n".join(lines) + "\n")
    assert read_log(file).metrics == ["loss", "goals"]
    file.write_text("\n".join(lines[:2]) + "\n")
    assert read_log(file).metrics == ["loss", "goals", "workers", "seed"]


def test_printed_text_with_commas_or_other_bytes_is_no_damaged_table(tmp_path):
    file = tmp_path / "train.log"
    lines = [f"2025-04-11 10:03:0{e},258 [INFO] epoch {e}: loss={1 / e}" for e in range(1, 4)]
    file.write_bytes(b"2025-04-11 10:03:01,258 [INFO] \xbc\xc7, \xa3\n")
    with pytest.raises(DataError, match="format is not known"):
        read_log(file)
    file.write_bytes(file.read_bytes() + "\n".join([*lines, ""]).encode())
    assert read_log(file).rows["loss"].tolist() == [1, 1 / 2, 1 / 3]
    file.write_text("run,epoch,loss\na,1,0.5\na,2\n")
    with pytest.raises(DataError, match=r"row 2 .*the row has 2 cells"):
        read_log(file)


def test_a_file_that_has_grown_is_read_again(tmp_path):
    file = tmp_path / "train.log"
    file.write_text("epoch 1: loss=0.5\nepoch 2: loss=0.4\n")
    assert read_log(file).rows["epoch"].max() == 2
    file.write_text(file.read_text() + "epoch 3: loss=0.3\n")
    assert read_log(file).rows["epoch"].max() == 3
