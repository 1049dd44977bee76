"""The online search on one data set, with the fixed setting of this project."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from curvecast.curves import CurveSet
from curvecast.fidelity import online_epochs
from curvecast.stopping.accounting import Record
from curvecast.stopping.online import OnlineSetting, replay_online
from curvecast.stopping.rows import Rows, SearchStudy, oracle_speedup
from curvecast.stopping.sequential import ordering

ONLINE = "online"
PREDICTOR = "gain_gp"


def online_study(
    curves: CurveSet,
    deltas: Iterable[float] = (),
    orderings: int = 10,
    setting: OnlineSetting | None = None,
) -> SearchStudy:
    """The online search with one setting, and with the same at further `deltas`.

    The setting (default: the fixed one) is drawn. Raises DataError as `online.replay_online` does.
    """
    setting = setting or OnlineSetting()
    wanted = sorted({setting.delta, *deltas})
    record, looks = Record.of(curves), online_epochs(curves.epochs, setting.n_looks)
    rows, timings = Rows(curves, record), []
    for repeat in range(orderings):
        best_possible = oracle_speedup(record, ordering(curves, repeat), looks, setting.n_full)
        for delta in wanted:
            chosen = replace(setting, delta=delta)
            replay, cost = replay_online(curves, repeat, looks, chosen)
            rows.add(
                (PREDICTOR, ONLINE, delta),
                repeat,
                replay,
                best_possible,
                shown=delta == setting.delta,
                default=chosen == OnlineSetting(),
            )
            seconds = (cost.fits, cost.fit, cost.predict)
            timings.append((curves.name, PREDICTOR, ONLINE, repeat, *seconds))
    return rows.study(timings)
