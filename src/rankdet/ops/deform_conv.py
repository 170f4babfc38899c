"""Deformable convolution (DCN) and its modulated form (DCNv2), as mmcv's operators.

Sources: Dai et al., Deformable Convolutional Networks, ICCV 2017; Zhu et al., Deformable ConvNets
v2, CVPR 2019, equation 1. Each place of the kernel reads the features at its own offset, bilinear
between four pixels, outside of the image 0, in DCNv2 times a mask; then the convolution is a
product of matrices. One image at a time, so that the memory does not grow with the batch; mmcv's
``im2col_step`` changes nothing in the results. The sums, and why they are deterministic:
`rankdet.ops._rows`.

The functions have mmcv's names, arguments and order of arguments, and write to tensors that the
caller made. Features are [B, C, H, W], results [B, out, h, w], weights [out, C / group, kh, kw], a
bias [out] or empty; with G deformable groups offsets are [B, G kh kw 2, h, w] (for each place of
the kernel down, then right) and masks [B, G kh kw, h, w]. Gradients have the shape of what they
are the gradient of. ``columns`` and ``ones`` are mmcv's work space and are not used. Offsets or
masks of another shape raise InputError.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from rankdet.errors import InputError
from rankdet.ops._rows import add_rows, in_single, to_rows, transposed_sums, weighted_sums


@dataclass(frozen=True)
class _Convolution:
    """What a convolution is but for its tensors; pairs are (along y, along x)."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int
    deform_groups: int

    @property
    def places(self) -> int:
        """Places of the kernel."""
        return self.kernel[0] * self.kernel[1]

    def outputs(self, shape: torch.Size) -> tuple[int, int]:
        """Height and width of the result for features [B, C, H, W]."""
        high, wide = (
            (shape[2 + i] + 2 * self.padding[i] - self.dilation[i] * (self.kernel[i] - 1) - 1)
            // self.stride[i] + 1
            for i in (0, 1)
        )  # fmt: skip
        return high, wide

    def check(self, input: Tensor, offset: Tensor, mask: Tensor | None) -> None:
        """Raise InputError unless offsets and masks fit the features."""
        outputs = self.outputs(input.shape)
        for name, value, each in (("offsets", offset, 2), ("masks", mask, 1)):
            wanted = (len(input), each * self.deform_groups * self.places, *outputs)
            if value is not None and value.shape != wanted:
                raise InputError(
                    f"{name} {wanted}", f"{tuple(value.shape)}", "see the convolution's settings"
                )

    def by_place(self, values: Tensor) -> Tensor:
        """Order one image's offsets or masks [G kh kw n, h, w] as [h w, kh kw, G, n]."""
        parts = values.view(self.deform_groups, self.places, -1, values[0].numel())
        return parts.permute(3, 1, 0, 2)

    def samples(
        self, offset: Tensor, mask: Tensor | None, shape: torch.Size
    ) -> tuple[Tensor, Tensor]:
        """The four pixels around each place [h w kh kw G, 4] and their weights.

        Args:
            offset: of one image, [G kh kw 2, h, w].
            mask: of one image, [G kh kw, h, w].
            shape: of the features, [B, C, H, W].

        Returns:
            Pixels, as indices of [H W G] (an image's vectors, cut into deformable groups); weights.
        """
        outputs = self.outputs(shape)
        moves = self.by_place(offset)
        numbers, shares = [], []
        for axis in (0, 1):
            points = moves[..., axis] + self._regular(axis, outputs, offset)
            low = points.detach().floor()
            pair = torch.stack((low, low + 1), -1)
            share = torch.stack((low + 1 - points, points - low), -1)
            # Nothing is read at -1 either: there the value is 0 and so, in mmcv, is its slope.
            outside = (pair < 0) | (pair >= shape[2 + axis]) | ~(points > -1)[..., None]
            shares.append(share.masked_fill(outside, 0))
            numbers.append(pair.clamp(0, shape[2 + axis] - 1).long())
        pixels = numbers[0][..., :, None] * shape[3] + numbers[1][..., None, :]
        groups = torch.arange(self.deform_groups, device=offset.device)
        pixels = pixels * self.deform_groups + groups[:, None, None]
        weights = shares[0][..., :, None] * shares[1][..., None, :]
        if mask is not None:
            weights = weights * self.by_place(mask)[..., None]
        return pixels.reshape(-1, 4), weights.reshape(-1, 4)

    def _regular(self, axis: int, outputs: tuple[int, int], like: Tensor) -> Tensor:
        """Where the places [h w, kh kw, 1] would read without offsets, along an axis."""
        starts = torch.arange(outputs[axis], device=like.device) * self.stride[axis]
        steps = torch.arange(self.kernel[axis], device=like.device) * self.dilation[axis]
        if axis == 0:  # x runs faster than y
            starts, steps = (
                starts.repeat_interleave(outputs[1]), steps.repeat_interleave(self.kernel[1])
            )  # fmt: skip
        else:
            starts, steps = starts.repeat(outputs[0]), steps.repeat(self.kernel[0])
        points = starts[:, None] + steps - self.padding[axis]
        return points[..., None].to(like.dtype)

    def product(self, weight: Tensor, columns: Tensor) -> Tensor:
        """Return [out, h w] for weight [out, C / groups, kh, kw] and columns [h w, kh kw, C]."""
        if self.groups == 1:
            return self.flat(weight)[0] @ columns.flatten(1).t()
        products = torch.bmm(self.flat(weight), self.split(columns).transpose(1, 2))
        return products.flatten(0, 1)

    def flat(self, weight: Tensor) -> Tensor:
        """Return [groups, out / groups, kh kw C / groups] of a weight."""
        return in_single(weight.detach()).permute(0, 2, 3, 1).reshape(
            self.groups, len(weight) // self.groups, -1
        )  # fmt: skip

    def split(self, columns: Tensor) -> Tensor:
        """Return [groups, h w, kh kw C / groups] of columns [h w, kh kw, C]."""
        parts = columns.view(*columns.shape[:2], self.groups, -1)
        return parts.permute(2, 0, 1, 3).flatten(2)

    def join(self, columns: Tensor) -> Tensor:
        """Return [h w, kh kw, C] of [groups, h w, kh kw C / groups]."""
        parts = columns.view(*columns.shape[:2], self.places, -1)
        return parts.permute(1, 2, 0, 3).flatten(2)


def _forward(
    convolution: _Convolution,
    input: Tensor,
    weight: Tensor,
    offset: Tensor,
    mask: Tensor | None,
    output: Tensor,
) -> None:
    """Write the convolution, without a bias, to ``output``."""
    convolution.check(input, offset, mask)
    for image in range(len(input)):
        columns = _columns(convolution, input, offset, mask, image)
        result = convolution.product(weight, columns)
        output[image].copy_(result.view(output.shape[1:]))


def _columns(
    convolution: _Convolution, input: Tensor, offset: Tensor, mask: Tensor | None, image: int
) -> Tensor:
    """What the kernel's places read in one image: [h w, kh kw, C]."""
    channels = input.shape[1]
    pixels, weights = convolution.samples(
        in_single(offset[image].detach()), _of(mask, image), input.shape
    )
    vectors = to_rows(input[image : image + 1])
    vectors = vectors.view(-1, channels // convolution.deform_groups)
    return weighted_sums(vectors, pixels, weights).view(-1, convolution.places, channels)


def _of(mask: Tensor | None, image: int) -> Tensor | None:
    return None if mask is None else in_single(mask[image].detach())


def _weight_gradient(
    convolution: _Convolution, columns: Tensor, grad_output: Tensor, grad_weight: Tensor
) -> None:
    """Add one image's part to ``grad_weight``, from [h w, kh kw, C] and [out, h w]."""
    grads = grad_output.view(convolution.groups, -1, grad_output.shape[1])
    found = torch.bmm(grads, convolution.split(columns))
    out, channels, high, wide = grad_weight.shape
    grad_weight.add_(found.view(out, high, wide, channels).permute(0, 3, 1, 2))


def _input_gradients(
    convolution: _Convolution,
    input: Tensor,
    weight: Tensor,
    offset: Tensor,
    mask: Tensor | None,
    image: int,
    grad_output: Tensor,
    grad_input: Tensor,
) -> tuple[Tensor, list[Tensor]]:
    """Add to ``grad_input``; return the image's columns and its gradients of offset and mask."""
    channels = input.shape[1]
    leaves = [in_single(offset[image].detach()).requires_grad_()]
    if mask is not None:
        leaves.append(in_single(mask[image].detach()).requires_grad_())
    vectors = to_rows(input[image : image + 1])
    vectors = vectors.view(-1, channels // convolution.deform_groups)
    grads = grad_output.view(convolution.groups, -1, grad_output.shape[1])
    grads = torch.bmm(grads.transpose(1, 2), convolution.flat(weight))
    grads = convolution.join(grads).reshape(-1, vectors.shape[1])
    with torch.enable_grad():
        pixels, weights = convolution.samples(
            leaves[0], None if mask is None else leaves[1], input.shape
        )
        read = weighted_sums(vectors, pixels, weights)
    found = torch.autograd.grad(read, leaves, grads)
    weights = weights.detach()
    sources = torch.arange(len(pixels), device=pixels.device).repeat_interleave(4)
    sums = transposed_sums(grads, sources, weights.flatten(), pixels.flatten(), len(vectors))
    add_rows(grad_input[image : image + 1], sums.view(-1, channels))
    return read.detach().view(-1, convolution.places, channels), list(found)


def deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    offset: Tensor,
    output: Tensor,
    columns: Tensor,
    ones: Tensor,
    kW: int,
    kH: int,
    dW: int,
    dH: int,
    padW: int,
    padH: int,
    dilationW: int,
    dilationH: int,
    group: int,
    deformable_group: int,
    im2col_step: int,
) -> None:
    """Write the deformable convolution to ``output``."""
    convolution = _Convolution(
        (kH, kW), (dH, dW), (padH, padW), (dilationH, dilationW), group, deformable_group
    )
    _forward(convolution, input, weight, offset, None, output)


def deform_conv_backward_input(
    input: Tensor,
    offset: Tensor,
    gradOutput: Tensor,
    gradInput: Tensor,
    gradOffset: Tensor,
    weight: Tensor,
    columns: Tensor,
    kW: int,
    kH: int,
    dW: int,
    dH: int,
    padW: int,
    padH: int,
    dilationW: int,
    dilationH: int,
    group: int,
    deformable_group: int,
    im2col_step: int,
) -> None:
    """Add the gradient to ``gradInput``, write that of the offsets to ``gradOffset``."""
    convolution = _Convolution(
        (kH, kW), (dH, dW), (padH, padW), (dilationH, dilationW), group, deformable_group
    )
    for image, grads in enumerate(in_single(gradOutput).flatten(2)):
        _, [found] = _input_gradients(
            convolution, input, weight, offset, None, image, grads, gradInput
        )
        gradOffset[image].copy_(found)


def deform_conv_backward_parameters(
    input: Tensor,
    offset: Tensor,
    gradOutput: Tensor,
    gradWeight: Tensor,
    columns: Tensor,
    ones: Tensor,
    kW: int,
    kH: int,
    dW: int,
    dH: int,
    padW: int,
    padH: int,
    dilationW: int,
    dilationH: int,
    group: int,
    deformable_group: int,
    scale: float,
    im2col_step: int,
) -> None:
    """Add ``scale`` times the gradient of the weights to ``gradWeight``."""
    convolution = _Convolution(
        (kH, kW), (dH, dW), (padH, padW), (dilationH, dilationW), group, deformable_group
    )
    for image, grads in enumerate(in_single(gradOutput).flatten(2)):
        read = _columns(convolution, input, offset, None, image)
        _weight_gradient(convolution, read, grads * scale, gradWeight)


def modulated_deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    output: Tensor,
    columns: Tensor,
    kernel_h: int,
    kernel_w: int,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
    dilation_h: int,
    dilation_w: int,
    group: int,
    deformable_group: int,
    with_bias: bool,
) -> None:
    """Write the modulated deformable convolution to ``output``."""
    convolution = _Convolution(
        (kernel_h, kernel_w), (stride_h, stride_w), (pad_h, pad_w), (dilation_h, dilation_w),
        group, deformable_group,
    )  # fmt: skip
    _forward(convolution, input, weight, offset, mask, output)
    if with_bias:
        output.add_(bias.view(-1, 1, 1))


def modulated_deform_conv_backward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    columns: Tensor,
    grad_input: Tensor,
    grad_weight: Tensor,
    grad_bias: Tensor,
    grad_offset: Tensor,
    grad_mask: Tensor,
    grad_output: Tensor,
    kernel_h: int,
    kernel_w: int,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
    dilation_h: int,
    dilation_w: int,
    group: int,
    deformable_group: int,
    with_bias: bool,
) -> None:
    """Add the gradients of input, weight and bias, write those of offsets and masks."""
    convolution = _Convolution(
        (kernel_h, kernel_w), (stride_h, stride_w), (pad_h, pad_w), (dilation_h, dilation_w),
        group, deformable_group,
    )  # fmt: skip
    for image, grads in enumerate(in_single(grad_output).flatten(2)):
        read, [of_offset, of_mask] = _input_gradients(
            convolution, input, weight, offset, mask, image, grads, grad_input
        )
        grad_offset[image].copy_(of_offset)
        grad_mask[image].copy_(of_mask)
        _weight_gradient(convolution, read, grads, grad_weight)
        if with_bias:
            grad_bias.add_(grads.sum(1))
