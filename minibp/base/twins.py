"""Twins: copies of the layers of a network that predict, while the layers themselves train or rest."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from .module import Module, layers_in
from .workspaces import Memory

MOST_SPARE = 32  # sets of workspaces to keep for later predictions, one for each thread that predicts at a time


class Twins:
    """Makes twins of modules: in inference mode, with the same parameters, and with workspaces of their own.

    So predictions change nothing in the modules, and any number of threads may predict, also beside a training.

    Parameters
    ----------
    modules : sequence of Module
        All of them, also those inside others.
    """

    def __init__(self, modules: Sequence[Module]):
        self.modules = modules
        self.holders = [module for module in modules if module.children()]
        self.spare: list[list[Memory]] = []  # workspaces that no thread uses now

    @contextmanager
    def borrowed(self) -> Iterator[dict[int, Any]]:
        """Twins of all modules, by the `id` of the original. They are of use in the ``with`` block only."""
        try:
            memories = self.spare.pop()
        except IndexError:  # the first prediction, or other threads have them
            memories = [Memory() for _ in self.modules]
        twins = {id(module): _twin(module, memory) for module, memory in zip(self.modules, memories, strict=True)}
        for holder in self.holders:
            attributes = twins[id(holder)].__dict__
            changed = {name: _with_twins(value, twins) for name, value in attributes.items() if layers_in(name, value)}
            attributes.update(changed)
        yield twins
        if len(self.spare) < MOST_SPARE:
            self.spare.append(memories)


def _twin(module: Module, memory: Memory) -> Module:
    twin = object.__new__(type(module))
    attributes = twin.__dict__
    attributes.update(module.__dict__)  # at once, so that another thread cannot change them on the way
    attributes.update(x=None, y=None, _shape=None, training=False, _memory=memory)
    attributes.update(memory.current)
    return twin


def _with_twins(value: Any, twins: Mapping[int, Module]) -> Any:
    """The value of an attribute, with twins in the place of the layers in it."""
    if isinstance(value, Module):
        return twins.get(id(value), value)
    if isinstance(value, dict):
        changed = copy.copy(value)  # also of a subclass, such as OrderedDict
        changed.update({key: _with_twins(each, twins) for key, each in value.items()})
        return changed
    if not isinstance(value, (list, tuple)):
        return value
    items = [_with_twins(each, twins) for each in value]
    return items if isinstance(value, list) else type(value)(*items) if hasattr(value, "_fields") else tuple(items)
