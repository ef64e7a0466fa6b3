"""Forking the cache of a prompt: it is computed once and continued in several ways."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor

from auricle.alm.hf import DynamicCache, DynamicLayer

ROOM = 32  # places that are added at once; a copy of the whole cache for each token would cost more than the model


class RoomyLayer(DynamicLayer):  # type: ignore[misc]
    """Keys and values in a buffer with room at the end, so that a step writes one place instead of copying all.

    Writing in place is for sampling only: gradients do not go through it.
    """

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        super().__init__()
        self.dtype, self.device, self.is_initialized = keys.dtype, keys.device, True
        self.size = keys.shape[-2]
        self.store = [_with_room(keys), _with_room(values)]
        self._show()

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Append keys and values (B, H, T, D); give all of them."""
        end = self.size + key_states.shape[-2]
        if end > self.store[0].shape[-2]:
            self.store = [_with_room(part, end - part.shape[-2] + ROOM) for part in self.store]
        for part, new in zip(self.store, (key_states, value_states), strict=True):
            part[..., self.size : end, :] = new
        self.size = end
        self._show()
        return self.keys, self.values

    def select(self, rows: Tensor) -> None:
        """Keep these rows only."""
        self.store = [part[rows] for part in self.store]
        self._show()

    def _show(self) -> None:
        self.keys, self.values = (part[..., : self.size, :] for part in self.store)


def _with_room(part: Tensor, room: int = ROOM) -> Tensor:
    return torch.cat([part, part.new_empty(*part.shape[:-2], room, part.shape[-1])], dim=-2)


def forked(cache: Any, rows: Tensor) -> Any:
    """Give a cache with the chosen rows of another, which stays as it is; for sampling, without gradients.

    Args:
        cache: of any kind that Transformers has; plain layers get room to grow.
        rows: index of the row that each new row continues.
    """
    if all(type(layer) is DynamicLayer for layer in cache.layers):
        new = DynamicCache()
        new.layers = [RoomyLayer(layer.keys[rows], layer.values[rows]) for layer in cache.layers]
        return new
    new = copy.deepcopy(cache)
    new.reorder_cache(rows)
    return new


def select(cache: Any, rows: Tensor) -> None:
    """Keep these rows of a cache only, in place."""
    for layer in cache.layers:
        if isinstance(layer, RoomyLayer):
            layer.select(rows)
        else:
            layer.reorder_cache(rows)
