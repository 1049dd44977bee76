"""Time the batched training of an embedded collection against one run at a time in plain torch.

    python benchmarks/embedded_training.py [--runs 12] [--epochs 3] [--collection NAME]

Both train the same configurations for the same epochs and log the same series after each epoch.
The plain program is what one would write by hand: torch.nn layers, torch.optim.SGD, index
batches of tensors that are already in memory, one run after the other. It draws its own weights
and orders, so only times and the mean final loss are compared; equality run by run is what
tests/tasks/test_mlp.py checks.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from torch import nn

from curvecast.training import embedded, mlp


def plain_network(run: mlp.Run, data: mlp.Data) -> nn.Sequential:
    """The network of a run as torch modules."""
    layers: list[nn.Module] = []
    n_in = data.n_features
    for width, rate in zip(run.widths, run.dropout, strict=True):
        layers += [nn.Linear(n_in, width), nn.ReLU()]
        if rate > 0:
            layers.append(nn.Dropout(rate))
        n_in = width
    return nn.Sequential(*layers, nn.Linear(n_in, data.n_classes))


def plain_training(run: mlp.Run, data: mlp.Data, n_epochs: int, device: str) -> float:
    """Train one run and log it; returns the last validation cross-entropy."""
    torch.manual_seed(run.seed)
    x, y, x_val, y_val = (
        torch.from_numpy(array).to(device)
        for array in (data.x_train, data.y_train, data.x_val, data.y_val)
    )
    net = plain_network(run, data).to(device)
    optimizer = torch.optim.SGD(
        net.parameters(), run.learning_rate, run.momentum, weight_decay=run.weight_decay
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=n_epochs)
    loss_of = nn.CrossEntropyLoss()
    log: dict[str, float] = {}
    for epoch in range(n_epochs + 1):
        if epoch:
            net.train()
            for rows in torch.randperm(len(y), device=device).split(run.batch_size):
                optimizer.zero_grad()
                loss_of(net(x[rows]), y[rows]).backward()
                optimizer.step()
            schedule.step()
        net.eval()
        with torch.no_grad():
            for part, inputs, labels in (("train", x, y), ("val", x_val, y_val)):
                logits = net(inputs)
                hits = (logits.argmax(1) == labels).double()
                recalls = torch.zeros(data.n_classes, dtype=torch.float64, device=device)
                recalls.index_add_(0, labels, hits)
                log[f"{part}_cross_entropy"] = loss_of(logits, labels).item()
                log[f"{part}_accuracy"] = hits.mean().item()
                members = torch.bincount(labels, minlength=data.n_classes)
                log[f"{part}_balanced_accuracy"] = (recalls / members).mean().item()
        optimizer.zero_grad()
        loss_of(net(x[: mlp.PROBE_SIZE]), y[: mlp.PROBE_SIZE]).backward()
        gradients = [p.grad for p in net.parameters() if p.grad is not None]
        log["gradient_norm"] = torch.nn.utils.get_total_norm(gradients).item()
    return log["val_cross_entropy"]


def batched_training(
    runs: list[mlp.Run], data: mlp.Data, n_epochs: int, device: str
) -> tuple[np.ndarray, int]:
    """Last validation cross-entropies and the number of groups."""
    final = np.empty(len(runs))
    groups = mlp.plan(runs, data, device)
    for rows in groups:
        logs = mlp.train(data, [runs[i] for i in rows], n_epochs, device)
        final[rows] = logs["val_cross_entropy"][:, -1]
    return final, len(groups)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--collections", nargs="+", default=list(embedded.COLLECTIONS))
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{options.runs} runs, {options.epochs} epochs and epoch 0, device {options.device}")
    print("processor seconds of all runs:")
    print(
        "| collection | hidden layers | runs | groups | plain | batched | ratio "
        "| mean loss plain | mean loss batched |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for name in options.collections:
        collection = embedded.COLLECTIONS[name]
        data = embedded.load_data(collection)
        runs = [
            embedded.as_run(
                embedded.draw_configuration(collection, i),
                data.n_classes,
                embedded.training_seed(collection, i),
            )
            for i in range(options.runs)
        ]
        plain_training(runs[0], data, 1, options.device)
        for depth in sorted({len(run.widths) for run in runs}):
            members = [run for run in runs if len(run.widths) == depth]
            started = time.process_time()
            plain = [plain_training(run, data, options.epochs, options.device) for run in members]
            middle = time.process_time()
            batched, n_groups = batched_training(members, data, options.epochs, options.device)
            ended = time.process_time()
            print(
                f"| {name} | {depth} | {len(members)} | {n_groups} | {middle - started:.2f} "
                f"| {ended - middle:.2f} | {(middle - started) / (ended - middle):.2f} "
                f"| {np.mean(plain):.3f} | {np.mean(batched):.3f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
