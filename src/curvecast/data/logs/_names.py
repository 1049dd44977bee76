"""What the name of a metric says: its direction, and what part of the data it is of."""

from __future__ import annotations

import re

from curvecast.data.stanza import Direction

_UP = re.compile(
    r"acc|auc|auroc|f1|map(?!e)|precision|recall|r2|bleu|rouge|dice|iou|rew|return|score|success"
    r"|top\d|jaccard|kappa|pearson|spearman|psnr|ssim|ndcg|chrf|win[_ ]?rate|(?<![a-z])ar\d"
    r"|prec(?![a-z])|mean_?iu(?![a-z])|mean_io_u|(?<!negative.log.)(?<!neg.log.)likelihood"
    r"|(?<![a-z])((hits?|mrr|mcc|elo|nmi|ari|sdr)(?![a-z])|ap[sml]?(?![a-z_]))",  # no ap_depth
    re.I,
)
_DOWN = re.compile(
    r"loss|err|(?<![a-z_])cost|perplexity|ppl|nll|mse|mae|mape|brier|entropy|regret"
    r"|neg(ative)?.log.likelihood|lpips|xent|(?<![a-z])wer"
    r"|(?<![a-z])(fid|kid|cer|eer|der|bpc|bpb|mpjpe)(?![a-z])",
    re.I,
)
_VALIDATION = re.compile(r"(?<![a-z])(val(?!ue)|eval|test|dev(?!i)|cv(?![a-z]))|^metrics/", re.I)


def is_metric(name: str) -> bool:
    """Whether a name is that of a metric whose direction is known."""
    return _UP.search(name) is not None or _DOWN.search(name) is not None


def is_of_validation(name: str) -> bool:
    """Whether a name is that of a value measured in validation."""
    return _VALIDATION.search(name) is not None


def direction_by_name(name: str) -> Direction | None:
    """`maximize` or `minimize`; None where the name says neither or both."""
    down, up = _DOWN.search(name) is not None, _UP.search(name) is not None
    return None if down == up else "minimize" if down else "maximize"
