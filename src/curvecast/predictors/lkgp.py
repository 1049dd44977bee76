"""lkgp: BoTorch's latent Kronecker Gaussian process over runs and epochs, as a peer.

Lin, Ament, Balandat, Bakshy, "Scaling Gaussian Processes for Learning Curve Prediction via Latent
Kronecker Structure" (2024): one Gaussian process on the curves of all runs, with the covariance
k_X(settings, settings') k_T(epoch, epoch') + noise; epochs that are not there are left out of the
grid, and linear systems are solved by conjugate gradients. The model and its inference are
BoTorch's `LatentKroneckerGP`. It needs further packages, `pip install -r
envs/requirements-lkgp.txt`.

- Settings are scaled to 0..1, time is the logarithm of the epoch over that of the last one.
- From transformed curves (`target`) the mean curve of the training runs is subtracted, and they are
  divided by one scale. They are read at about `max_points` epochs in geometric
  distances, every tau among them.
- Hyper-parameters maximise the marginal likelihood of the complete training curves. To predict,
  the seen values of one new run at a time join the training curves.
- The distribution has the shape of the standardised errors on training curves, of which one half
  is hidden after tau at a time (cross-conformal, Vovk 2015).
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterable
from types import ModuleType
from typing import Any, Self

import numpy as np
import torch

from curvecast.curves import CurveSet, DataError
from curvecast.features import bridge
from curvecast.predictors._batched_layers import one_thread
from curvecast.predictors._network_inputs import positions_of, static_frame, thin
from curvecast.predictors.base import Predictor
from curvecast.predictors.distributions import Prediction, Residuals
from curvecast.predictors.scaling import Columns
from curvecast.predictors.transforms import Form
from curvecast.protocol import grouped_folds, require_groups

MODELS = {
    "lkgp": {
        "class": "LatentKronecker",
        "label": "Latent Kronecker Gaussian process over runs and epochs (BoTorch).",
        "cite": "Lin, Ament, Balandat and Bakshy (2024)",
        "cheap": {"iterations": 5},
    },
}

N_FOLDS = 2
_LARGEST = 8.0


def _package(name: str) -> ModuleType:
    """Import a module of the extra packages.

    Raises
    ------
    DataError : it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise DataError(
            f"the model lkgp needs the package {error.name!r}: "
            "pip install -r envs/requirements-lkgp.txt"
        ) from error


class LatentKronecker(Predictor):
    """BoTorch's LatentKroneckerGP; see the module's text.

    A constant target gives that value without spread.

    Parameters
    ----------
    iterations : at most so many steps of L-BFGS on the marginal likelihood.
    max_points : about how many epochs of a curve are read.
    target : "level" or "warped_level", how values are transformed (see `transforms.Form`).

    Raises
    ------
    DataError : the extra packages are not installed.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        iterations: int = 40,
        max_points: int = 12,
        target: str = "warped_level",
    ) -> None:
        super().__init__(seed=seed)
        if target not in ("level", "warped_level"):
            raise DataError(f"target is {target!r}, not level or warped_level")
        self.iterations, self.max_points = iterations, max_points
        self.target = target
        self._gp = _package("botorch.models.latent_kronecker_gp").LatentKroneckerGP

    def _fit_curves(self, curves: CurveSet, taus: Iterable[int]) -> Self:
        self._taus = positions_of(curves, taus)
        require_groups(curves.groups)
        folds = grouped_folds(curves.groups, N_FOLDS, self.seed)
        y = curves.final
        self._center = float(y.mean())
        self._constant = bool(y.std() <= 1e-12 * max(1.0, abs(self._center)))
        if self._constant:
            return self
        last = len(curves.epochs) - 1
        self._positions = thin(last, self.max_points, self._taus.values())
        values = curves.values[:, self._positions]
        points = values[np.isfinite(values)]
        self._form = Form.level(points, warped=self.target == "warped_level")
        warped = self._form.forward(np.where(np.isfinite(values), values, np.nan), 0.0)
        self._mean_curve = np.nan_to_num(np.nanmean(warped, axis=0))
        self._scale = float(np.nanstd(warped - self._mean_curve))
        self._columns = Columns.of(static_frame(curves), "minmax")
        self._settings, self._z = self._arrays(curves)
        time = np.log1p(curves.epochs[self._positions]) / np.log1p(curves.last_epoch)
        self._time = torch.from_numpy(time)[:, None]
        with one_thread(), warnings.catch_warnings():
            # how far the likelihood was driven in `iterations` steps is not worth a warning
            warnings.simplefilter("ignore")
            self._tuned = self._tune()
            self._errors = {}
            for tau in self._taus:
                hidden = self._arrays(curves.hide_after(tau))[1]
                mean, std = np.empty(len(y)), np.empty(len(y))
                for fold in range(folds.max() + 1):
                    rows = folds == fold
                    mean[rows], std[rows] = self._posterior(
                        self._settings[~rows], self._z[~rows], self._settings[rows], hidden[rows]
                    )
                self._errors[tau] = Residuals.of((self._z[:, -1].numpy() - mean) / std)
        return self

    def _arrays(self, curves: CurveSet) -> tuple[torch.Tensor, torch.Tensor]:
        """Settings (n_runs, p) and standardised values (n_runs, n_points), NaN where hidden."""
        filled = bridge(curves.values, curves.epochs)
        values = np.where(np.isnan(curves.values), np.nan, filled)[:, self._positions]
        z = (self._form.forward(values, 0.0) - self._mean_curve) / self._scale
        return torch.from_numpy(self._columns.apply(static_frame(curves))), torch.from_numpy(z)

    def _model(self, settings: torch.Tensor, z: torch.Tensor, **parts: Any) -> Any:
        return self._gp(settings, self._time, z, outcome_transform=None, **parts)

    def _tune(self) -> dict[str, Any]:
        """Noise and kernels that maximise the marginal likelihood of the training curves."""
        # Not `fit_gpytorch_mll`: that one raises where the line search meets the noise of the
        # iterative likelihood, which is where the search is at its end.
        fit = _package("botorch.optim.fit").fit_gpytorch_mll_scipy
        likelihood = _package("gpytorch.mlls").ExactMarginalLogLikelihood
        with torch.random.fork_rng():
            torch.manual_seed(self.seed)
            model = self._model(self._settings, self._z)
            with model.use_iterative_methods():
                model.train()
                objective = likelihood(model.likelihood, model)
                # of the raw parameters; a first step beyond makes the covariance overflow
                bounds = {name: (-_LARGEST, _LARGEST) for name, _ in objective.named_parameters()}
                fit(objective, bounds=bounds, options={"maxiter": self.iterations})
        names = ("likelihood", "covar_module_X", "covar_module_T")
        return {name: getattr(model, name) for name in names}

    def _posterior(
        self,
        settings: torch.Tensor,
        z: torch.Tensor,
        new_settings: torch.Tensor,
        new_z: torch.Tensor,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Standardised mean and standard deviation of the final values of new runs."""
        rows = (torch.cat([settings, new_settings]), torch.cat([z, new_z]))
        joined = self._model(*rows, **self._tuned)
        joined.eval()
        with torch.no_grad(), torch.random.fork_rng(), joined.use_iterative_methods():
            torch.manual_seed(self.seed)
            posterior = joined.posterior(new_settings, self._time[-1:])
            mean = posterior.mean.reshape(-1).numpy()
            noise = float(joined.likelihood.noise)
            variance = posterior.variance.reshape(-1).numpy() + noise
        return mean, np.sqrt(np.maximum(variance, 1e-12))

    def _predict_hidden(self, curves: CurveSet, tau: int) -> Prediction:
        if self._constant or not len(curves):
            return Prediction(np.full(len(curves), self._center), np.zeros(len(curves)))
        settings, z = self._arrays(curves)
        parts = []
        with one_thread(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for row in range(len(curves)):
                rows = slice(row, row + 1)
                parts.append(self._posterior(self._settings, self._z, settings[rows], z[rows]))
        mean, std = (np.concatenate(part) for part in zip(*parts, strict=True))
        inner = self._errors[tau].around(mean, std)
        return self._form.back(inner.affine(self._mean_curve[-1], self._scale), 0.0)
