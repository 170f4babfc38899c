"""A module whose buffers keep their data type when the model around it is cast."""

from __future__ import annotations

from torch import nn


class ExactBuffers(nn.Module):
    """Base of modules that count and sum over many steps.

    ``model.half()`` casts every buffer of a model. A sum in float16 stops growing at 2048 times its
    summands, in bfloat16 at 256 times. So the buffers of a subclass keep the data type and the
    digits they have, and only follow the device.
    """

    def _apply(self, fn, recurse=True):
        before = {name: each for name, each in self._buffers.items() if each is not None}
        super()._apply(fn, recurse)
        for name, buffer in before.items():
            after = self._buffers[name]
            if after.dtype != buffer.dtype:
                # The cast has lost digits: take them from before it.
                self._buffers[name] = buffer.to(after.device)
        return self

    def _load_from_state_dict(self, *args, **kwargs):
        before = {name: each for name, each in self._buffers.items() if each is not None}
        super()._load_from_state_dict(*args, **kwargs)
        for name, buffer in before.items():  # assign=True takes the data type of the checkpoint
            self._buffers[name] = self._buffers[name].to(buffer.dtype)
