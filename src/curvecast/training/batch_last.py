"""Small convolutional networks on a CPU, fast: the same numbers in a layout of its own.

PyTorch's kernels vectorise over channels or over pixels of a row. Networks of 3 to 64 channels on
28 x 28 pixels have few of both, and spend most of their time in batch norm and pooling. Here a
batch is held as (channels, height, width, images): every operation runs along the images, which
lie side by side in memory. A convolution is a product of matrices over blocks of rows (im2col,
Chellapilla, Puri, Simard 2006) that stay in the cache, and pooling moves in front of the
activation, which commutes with it because it never falls.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

# Floats of one im2col block: it should stay in the cache.
_BLOCK = 2**21


def forward(
    network: nn.Sequential, x: torch.Tensor, precision: torch.dtype = torch.float32
) -> torch.Tensor:
    """`network(x)` for a network of `tasks.cnn.build` that begins with a convolution.

    Parameters
    ----------
    x : images, shape (n, 1, height, width).
    precision : of the products of matrices in convolutions; sums are kept in float32.
    """
    modules = list(network)
    x = x.permute(1, 2, 3, 0).contiguous()
    at = 0
    while not isinstance(modules[at], nn.Flatten):
        at, x = _block(modules, at, x, precision)
    x = x.flatten(0, 2).t()
    for module in modules[at + 1 :]:
        x = _single(module, x)
    return x


def _block(
    modules: list[nn.Module], at: int, x: torch.Tensor, precision: torch.dtype
) -> tuple[int, torch.Tensor]:
    """One convolution with all that follows it up to the next one."""
    first: Any = modules[at]
    x = _Convolution.apply(
        x, first.weight, first.bias, first.stride[0], first.padding[0], precision
    )
    end = at + 1
    while not isinstance(modules[end], nn.Conv2d | nn.Flatten):
        end += 1
    rest = modules[at + 1 : end]
    kinds = [type(module) for module in rest]
    drops = any(isinstance(m, nn.Dropout) and m.p > 0 and m.training for m in rest)
    norm = rest.pop(0) if kinds[:1] == [nn.BatchNorm2d] else None
    pool = rest.pop() if kinds[-1:] == [nn.MaxPool2d] else None
    early = pool is not None and not drops and not any(isinstance(m, nn.MaxPool2d) for m in rest)
    x = _normed_and_pooled(norm, pool if early else None, x)
    for module in rest:
        x = _single(module, x)
    if pool is not None and not early:
        x = _single(pool, x)
    return end, x


def _single(module: nn.Module, x: torch.Tensor) -> torch.Tensor:
    if isinstance(module, nn.BatchNorm2d):
        return _normed_and_pooled(module, None, x)
    if isinstance(module, nn.MaxPool2d):
        return _normed_and_pooled(None, module, x)
    if isinstance(module, nn.Dropout):
        return _dropped(x, module.p) if module.training else x
    return module(x)


def _dropped(x: torch.Tensor, rate: float) -> torch.Tensor:
    """Dropout decided by a random byte per element: rates are in 256ths, at most 255."""
    level = min(255, round(256 * rate))
    if not level:
        return x
    words = torch.empty(-(-x.numel() // 8), dtype=torch.int64).random_(-(2**63), None)
    kept = words.view(torch.uint8)[: x.numel()].view(x.shape).float()
    return x * kept.ge_(level).mul_(256 / (256 - level))


def _normed_and_pooled(norm: Any, pool: Any, x: torch.Tensor) -> torch.Tensor:
    size = 1 if pool is None else pool.kernel_size
    if norm is None:
        return x if size == 1 else _NormAndPool.apply(x, None, None, None, None, size)
    if not norm.training:
        scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        x = x * _per_channel(scale) + _per_channel(norm.bias - norm.running_mean * scale)
        return x if size == 1 else _NormAndPool.apply(x, None, None, None, None, size)
    flat = x.detach().flatten(1)
    mean = flat.mean(dim=1)
    # In two passes: a sum of squares would cancel in single precision.
    variance = (flat - mean[:, None]).square_().mean(dim=1)
    with torch.no_grad():
        n = flat.shape[1]
        norm.num_batches_tracked += 1
        norm.running_mean.lerp_(mean, norm.momentum)
        norm.running_var.lerp_(variance * (n / max(n - 1, 1)), norm.momentum)
    spread = torch.rsqrt(variance + norm.eps)
    return _NormAndPool.apply(x, norm.weight, norm.bias, mean, spread, size)


def _per_channel(values: torch.Tensor) -> torch.Tensor:
    return values[:, None, None, None]


def _slices(x: torch.Tensor, size: int) -> list[torch.Tensor]:
    """The size * size views that a pooling window takes its pixels from."""
    height, width = (side // size * size for side in x.shape[1:3])
    return [x[:, i:height:size, j:width:size] for i in range(size) for j in range(size)]


class _NormAndPool(torch.autograd.Function):
    """Batch norm with given statistics of the batch, then max pooling; either may be left out.

    Normalising is monotonic in every channel, so the largest value is found first (the smallest
    where the scale is negative) and only that one is normalised.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor | None,
        bias: torch.Tensor | None,
        mean: torch.Tensor | None,
        spread: torch.Tensor | None,
        size: int,
    ) -> torch.Tensor:
        signed = x
        if weight is not None and size > 1 and bool((weight < 0).any()):
            signed = x * _per_channel(torch.where(weight < 0, -1.0, 1.0))
        views = _slices(signed, size)
        best = views[0] if size > 1 else signed
        for view in views[1:]:
            best = torch.maximum(best, view)
        ctx.size, ctx.normed = size, weight is not None
        if weight is None:
            ctx.save_for_backward(signed, best)
            return best
        assert bias is not None
        assert mean is not None
        assert spread is not None
        flipped = signed is not x
        value = best * _per_channel(torch.where(weight < 0, -1.0, 1.0)) if flipped else best
        unit = (value - _per_channel(mean)).mul_(_per_channel(spread))
        ctx.flipped = flipped
        ctx.save_for_backward(signed, best, unit, weight, mean, spread, x)
        return torch.addcmul(_per_channel(bias), unit, _per_channel(weight))

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[Any, ...]:
        if not ctx.normed:
            signed, best = ctx.saved_tensors
            return _spread_out(torch.zeros_like(signed), signed, best, grad, ctx.size), *[None] * 5
        signed, best, unit, weight, mean, spread, x = ctx.saved_tensors
        d_weight = (grad * unit).flatten(1).sum(dim=1)
        d_bias = grad.flatten(1).sum(dim=1)
        n = x[0].numel()
        # d loss / d x = weight * spread * (grad - mean(grad) - unit * mean(grad * unit))
        scale = weight * spread
        slope = -scale * spread * d_weight / n
        result = x * _per_channel(slope)
        result.add_(_per_channel(-scale * d_bias / n - slope * mean))
        _spread_out(result, signed, best, grad * _per_channel(scale), ctx.size)
        return result, d_weight, d_bias, None, None, None


def _spread_out(
    result: torch.Tensor, x: torch.Tensor, best: torch.Tensor, grad: torch.Tensor, size: int
) -> torch.Tensor:
    """Add each gradient of a pooled value where the value came from (the first of equal ones)."""
    if size == 1:
        return result.add_(grad)
    left = grad.clone()
    here = torch.empty_like(left)
    for target, source in zip(_slices(result, size), _slices(x, size), strict=True):
        # Written as numbers: operations on booleans are several times slower.
        torch.eq(source, best, out=here)
        here.mul_(left)
        target.add_(here)
        left.sub_(here)
    return result


class _Convolution(torch.autograd.Function):
    """A convolution of (channels, height, width, images) as products over blocks of rows."""

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor,
        stride: int,
        padding: int,
        precision: torch.dtype,
    ) -> torch.Tensor:
        padded = nn.functional.pad(x.to(precision), [0, 0, padding, padding, padding, padding])
        n = x.shape[3]
        height, width = ((side - weight.shape[2]) // stride + 1 for side in padded.shape[1:3])
        result = torch.empty(weight.shape[0], height, width, n)
        matrix, start = weight.flatten(1).to(precision), bias[:, None].to(precision)
        for first, last in _row_blocks(height, width, n, matrix.shape[1]):
            columns = _columns(padded, weight.shape[2], stride, first, last, width)
            result[:, first:last].flatten(1).copy_(torch.addmm(start, matrix, columns))
        ctx.save_for_backward(padded, weight)
        ctx.stride, ctx.padding = stride, padding
        return result

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[Any, ...]:
        padded, weight = ctx.saved_tensors
        size, stride, padding = weight.shape[2], ctx.stride, ctx.padding
        height, width, n = grad.shape[1:]
        matrix = weight.flatten(1).to(padded.dtype)
        lower = grad.to(padded.dtype)
        d_matrix = torch.zeros(matrix.shape)
        d_padded = torch.zeros(padded.shape) if ctx.needs_input_grad[0] else None
        for first, last in _row_blocks(height, width, n, matrix.shape[1]):
            part = lower[:, first:last].flatten(1)
            columns = _columns(padded, size, stride, first, last, width)
            d_matrix += part @ columns.t()
            if d_padded is not None:
                pieces = (matrix.t() @ part).float()
                pieces = pieces.view(padded.shape[0], size, size, last - first, width, n)
                for i in range(size):
                    for j in range(size):
                        _window(d_padded, i, j, stride, first, last, width).add_(pieces[:, i, j])
        d_x = None
        if d_padded is not None:
            bottom, right = (side - padding for side in padded.shape[1:3])
            d_x = d_padded[:, padding:bottom, padding:right]
        return d_x, d_matrix.view_as(weight), grad.flatten(1).sum(dim=1), None, None, None


def _row_blocks(height: int, width: int, n: int, depth: int) -> list[tuple[int, int]]:
    """Ranges of output rows whose im2col matrix has about `_BLOCK` entries."""
    rows = max(1, _BLOCK // (depth * width * n))
    return [(first, min(first + rows, height)) for first in range(0, height, rows)]


def _window(
    padded: torch.Tensor, i: int, j: int, stride: int, first: int, last: int, width: int
) -> torch.Tensor:
    """What pixel (i, j) of the kernel sees for the output rows first..last."""
    top = i + first * stride
    return padded[
        :,
        top : top + (last - first - 1) * stride + 1 : stride,
        j : j + (width - 1) * stride + 1 : stride,
    ]


def _columns(
    padded: torch.Tensor, size: int, stride: int, first: int, last: int, width: int
) -> torch.Tensor:
    """The im2col matrix of a block of rows, (channels * size * size, rows * width * images)."""
    channels, n = padded.shape[0], padded.shape[3]
    columns = torch.empty(channels, size, size, last - first, width, n, dtype=padded.dtype)
    for i in range(size):
        for j in range(size):
            columns[:, i, j] = _window(padded, i, j, stride, first, last, width)
    return columns.view(channels * size * size, -1)
