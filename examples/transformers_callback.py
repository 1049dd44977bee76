"""A callback for the Hugging Face Trainer: five finished trainings, then one that cannot win.

The model is made from a configuration, so that nothing is downloaded.
"""

import tempfile

import torch
import transformers

import curvecast
from curvecast.integrations.transformers import CurveCallback

# The class of a sentence is whether its first word is one of the first ten.
ids = torch.randint(0, 20, (640, 4), generator=torch.Generator().manual_seed(0))
rows = [{"input_ids": words, "labels": (words[0] < 10).long()} for words in ids]


def train(lr, folder, *callbacks):
    transformers.set_seed(0)
    config = transformers.BertConfig(
        vocab_size=20,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=8,
    )
    arguments = transformers.TrainingArguments(
        output_dir=folder,
        max_steps=24,
        eval_strategy="steps",
        eval_steps=3,
        logging_steps=3,
        learning_rate=lr,
        lr_scheduler_type="constant",
        per_device_train_batch_size=16,
        per_device_eval_batch_size=128,
        report_to=[],
        save_strategy="no",
        disable_tqdm=True,
        use_cpu=True,
    )
    trainer = transformers.Trainer(
        model=transformers.BertForSequenceClassification(config),
        args=arguments,
        train_dataset=rows[:512],
        eval_dataset=rows[512:],
        callbacks=list(callbacks),
    )
    trainer.remove_callback(transformers.PrinterCallback)
    trainer.train()
    trainer.save_state()
    return trainer


with tempfile.TemporaryDirectory() as folder:
    for lr in (0.0005, 0.001, 0.0015, 0.002, 0.003):
        train(lr, f"{folder}/lr={lr}")
    earlier = curvecast.read(folder, "eval_loss", "minimize")
    callback = CurveCallback("eval_loss", "min", earlier=earlier, config={"lr": 0.0002})
    trainer = train(0.0002, f"{folder}/new", callback)
print(f"ended after {trainer.state.global_step} of 24 steps")
for advice in callback.watch.history:
    print(advice)
