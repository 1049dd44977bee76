"""A callback for Lightning: five finished trainings, then one that cannot win."""

import logging
import tempfile

import lightning
import torch
from lightning.pytorch.loggers import CSVLogger
from torch.utils.data import DataLoader, TensorDataset

import curvecast
from curvecast.integrations.lightning import CurveCallback


class Line(lightning.LightningModule):
    def __init__(self, lr):
        super().__init__()
        self.save_hyperparameters()
        self.layer = torch.nn.Linear(4, 1)

    def training_step(self, batch, index):
        return torch.nn.functional.mse_loss(self.layer(batch[0]), batch[1])

    def validation_step(self, batch, index):
        self.log("val_loss", self.training_step(batch, index))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=self.hparams["lr"])


def train(lr, folder, *callbacks):
    lightning.seed_everything(0, verbose=False)
    x = torch.randn(256, 4)
    y = x @ torch.tensor([[1.0], [2.0], [-1.0], [0.5]]) + 0.1 * torch.randn(256, 1)
    data = DataLoader(TensorDataset(x, y), batch_size=32)
    trainer = lightning.Trainer(
        max_epochs=12,
        accelerator="cpu",
        logger=CSVLogger(folder, name="logs"),
        callbacks=list(callbacks),
        enable_progress_bar=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        log_every_n_steps=1,
    )
    trainer.fit(Line(lr), data, data)
    return trainer


logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
with tempfile.TemporaryDirectory() as folder:
    for lr in (0.001, 0.002, 0.003, 0.004, 0.005):
        train(lr, folder)
    earlier = curvecast.read(f"{folder}/logs", "val_loss", "minimize")
    callback = CurveCallback("val_loss", "min", earlier=earlier)
    trainer = train(0.0007, folder, callback)
print(f"ended after {trainer.current_epoch} of 12 epochs")
for advice in callback.watch.history:
    print(advice)
