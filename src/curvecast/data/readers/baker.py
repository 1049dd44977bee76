"""Reads the eight CSV files of Baker, Gupta, Raskar and Naik (2018), with every column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, Self

import numpy as np
import pandas as pd
from pydantic import model_validator

from curvecast import layers
from curvecast.curves import CurveSet, group_equal_rows
from curvecast.data import stanza as stanzas
from curvecast.data.cells import counted, numbers, read_table, require
from curvecast.data.columns import Layout, assemble, epoch_columns
from curvecast.files import DataError
from curvecast.validation import Strict


class ParameterCount(Strict):
    """Columns that a formula for the number of weights reads, and the number of classes."""

    formula: Literal["resnet"]
    blocks: str
    filters: str
    kernel: str
    classes: int


class Stanza(Layout, stanzas.Stanza):
    """The keys of a table and what else the files of Baker et al. need.

    `network` names the column with the layers as text, and `parameter_count` the inputs of the
    formula for the number of weights. What is derived from them becomes `ap_*` if `architecture`
    lists it and `info_*` otherwise: the published AP block is the number of weights and of layers
    alone, and more columns cost more than they tell with 100 training runs. `last_epoch` may
    stand for `first_epoch`.
    """

    last_epoch: int | None = None
    network: str = ""
    parameter_count: ParameterCount | None = None

    @model_validator(mode="after")
    def _has_an_epoch(self) -> Self:
        if self.first_epoch is None and self.last_epoch is None:
            raise ValueError("neither `first_epoch` nor `last_epoch`")
        return self


def read(name: str, stanza: Stanza, files: Sequence[Path]) -> CurveSet:
    """Read one of the files.

    Rows that are equal in every cell are dropped (and reported in `notes`), repeated
    configurations share a group. Ids are the row numbers of the file.

    Raises
    ------
    DataError : names file, row and column.
    """
    path = files[0]
    table = read_table(path)
    derived = _derived(table, stanza, path)
    unused = [column for column in stanza.ignore if column in table.columns]
    network = [stanza.network] if stanza.network else []
    changes = {
        "info": [*stanza.info, *(c for c in map(str, derived) if c not in stanza.architecture)],
        "ignore": [*unused, *network],
        "first_epoch": _first_epoch(table, stanza, path),
    }
    curves = assemble(
        pd.concat([table, derived], axis=1),
        stanza.model_copy(update=changes),
        path,
        name=name,
        source=stanza.citation,
    )
    settings = curves.configs.drop(columns=["id", "group"])
    rows = curves.configs["id"].astype(int)
    groups = group_equal_rows(settings.join(table.loc[rows, network].reset_index(drop=True)))
    n_repeated = len(groups) - len(np.unique(groups))
    notes = list(curves.notes)
    if n_repeated:
        notes.append(f"{n_repeated} runs repeat a configuration and share its group")
    return replace(curves, configs=curves.configs.assign(group=groups), notes=tuple(notes))


def _derived(table: pd.DataFrame, stanza: Stanza, path: Path) -> pd.DataFrame:
    derived = pd.DataFrame(index=table.index)
    if stanza.network:
        require(table, [stanza.network], path)
        derived = network_columns(table[stanza.network], path)
    if stanza.parameter_count:
        derived = derived.join(parameter_count(stanza.parameter_count, table, path))
    return derived


def _first_epoch(table: pd.DataFrame, stanza: Stanza, path: Path) -> int:
    """Trained epochs behind the first column; 0 or 1 if only the last epoch is published."""
    if stanza.first_epoch is not None or stanza.last_epoch is None:
        return stanza.first_epoch or 0
    numbered = list(epoch_columns(list(table.columns), stanza.curve_columns, path))
    first = stanza.last_epoch - (numbered[-1] - numbered[0])
    if first not in (0, 1):
        raise DataError(
            f"columns {numbered[0]} to {numbered[-1]} do not end at epoch {stanza.last_epoch}",
            file=path,
            column=stanza.curve_columns,
        )
    return first


# --- networks as text ---------------------------------------------------------------------------


def network_columns(texts: pd.Series, path: Path) -> pd.DataFrame:
    """What the layers say beyond depth and number of weights, one row per network.

    Columns:

    `ap_conv_layers`, `ap_pool_layers`, `ap_dropout_layers`, `ap_fc_layers`: counts; `ap_gap`: 1
    with global average pooling before the softmax; `ap_filters_mean`, `ap_filters_max`,
    `ap_kernel_mean`: over the convolutions; `ap_pool_kernel_mean`, `ap_pool_stride_product`
    (by which the image shrinks); `ap_fc_units`: sum over the dense layers; `ap_dropout_max`: the
    largest dropout probability (MetaQNN gives the i-th of n dropout layers i / 2n). A mean or
    maximum over no layer is 0.
    """
    rows = []
    for row, text in texts.items():
        try:
            rows.append(_describe(layers.parse(str(text))))
        except ValueError as error:
            raise DataError(str(error), file=path, row=counted(row), column=texts.name) from error
    return pd.DataFrame(rows, index=texts.index, dtype=np.float64)


def _describe(network: layers.Layers) -> dict[str, float]:
    def of(kind: str) -> np.ndarray:
        rows = [arguments for k, arguments in network if k == kind]
        return np.array(rows, dtype=np.float64).reshape(-1, layers.ARGUMENTS[kind])

    conv, pool, dropout, dense = of("C"), of("P"), of("D"), of("FC")
    return {
        "conv_layers": len(conv),
        "pool_layers": len(pool),
        "dropout_layers": len(dropout),
        "fc_layers": len(dense),
        "gap": len(of("GAP")),
        "filters_mean": _mean(conv[:, 0]),
        "filters_max": conv[:, 0].max(initial=0),
        "kernel_mean": _mean(conv[:, 1]),
        "pool_kernel_mean": _mean(pool[:, 0]),
        "pool_stride_product": pool[:, 1].prod(),
        "fc_units": dense[:, 0].sum(),
        "dropout_max": (dropout[:, 0] / (2 * dropout[:, 1])).max(initial=0),
    }


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else 0.0


# --- numbers of weights -------------------------------------------------------------------------


def parameter_count(inputs: ParameterCount, table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """`num_params` and `depth`, computed from the columns of a table; one row per run.

    Raises DataError for a column that is missing or a cell that is no number.
    """
    columns = [inputs.blocks, inputs.filters, inputs.kernel]
    require(table, columns, path)
    blocks, filters, kernel = numbers(table, columns, path).T
    return pd.DataFrame(
        {
            "num_params": resnet_parameters(blocks, filters, kernel, inputs.classes),
            "depth": 6 * blocks + 2,
        },
        index=table.index,
    )


def resnet_parameters(
    blocks: np.ndarray, filters: np.ndarray, kernel: np.ndarray, classes: int
) -> np.ndarray:
    """Number of weights of a CIFAR-style residual network (He et al. 2016, section 4.2).

    One k x k convolution from 3 to f channels, then three stages of n blocks of two k x k
    convolutions with f, 2f and 4f channels, global average pooling and a dense layer: 6n + 2
    layers. Shortcuts carry no weights, convolutions no biases; batch normalization has two
    weights per channel:

        k² (3f + 2n f² + 2f² + (2n - 1) 4f² + 8f² + (2n - 1) 16f²)
        + 2 (f + 2n (f + 2f + 4f)) + 4f classes + classes
    """
    n, f = blocks, filters
    convolutions = 3 * f + 2 * n * f**2
    convolutions = convolutions + (2 + 4 * (2 * n - 1)) * f**2 + (8 + 16 * (2 * n - 1)) * f**2
    return kernel**2 * convolutions + 2 * f * (1 + 14 * n) + (4 * f + 1) * classes
