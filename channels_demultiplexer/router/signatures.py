"""How a handler or step wants its arguments, worked out once from its signature."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from asgiref.sync import iscoroutinefunction

__all__ = ["Call", "SignatureError", "plan_call"]

#: What a parameter of this name receives, wherever it stands.
NAMES = frozenset({"scope", "headers", "payload", "store"})


class SignatureError(TypeError):
    """A handler or step cannot be called with what it would get."""


@dataclass(frozen=True, slots=True)
class Call:
    """Which values a function gets, by position and by name."""

    args: tuple[str, ...]
    kwargs: tuple[str, ...]
    is_coroutine: bool

    def bind(self, values: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """Return the positional and the keyword arguments."""
        return [values[name] for name in self.args], {name: values[name] for name in self.kwargs}


def plan_call(function: Callable[..., Any], order: Sequence[str]) -> Call:
    """
    Plan a call.

    Parameters called ``scope``, ``headers``, ``payload`` or ``store`` get what they are called; the
    remaining positional ones get what is left of ``order``.

    Args:
        function: a handler, bound to its consumer, or a step.
        order: the values of this step, in its own order.

    Raises:
        SignatureError: if the function cannot be called so, or its only parameter has another
            name though ``order`` has several values, so that nobody can know which one it means.
    """
    is_coroutine = iscoroutinefunction(function)
    try:
        signature = _signature(function)
    except ValueError:
        # Some built-in types, such as `str`, tell no signature.
        return Call(tuple(order), (), is_coroutine)
    args, kwargs, guessed = _assign(signature, order)
    if guessed and len(order) > 1 and len(args) + len(kwargs) == 1:
        raise SignatureError(
            f"the only parameter of {signature} is called {guessed[0]!r}, "
            f"which could mean {' or '.join(order)}"
        )
    try:
        signature.bind(*args, **dict.fromkeys(kwargs))
    except TypeError as exc:
        raise SignatureError(f"{signature} cannot be called with what it would get: {exc}") from exc
    return Call(tuple(args), tuple(kwargs), is_coroutine)


def _signature(function: Callable[..., Any]) -> inspect.Signature:
    """Return the signature, without the arguments that a partial already holds."""
    if isinstance(function, functools.partial) and hasattr(function, "__wrapped__"):
        # What asgiref's sync_to_async makes of a method: `inspect` follows __wrapped__ and forgets
        # that `self` is bound.
        function = functools.partial(function.__wrapped__, *function.args, **function.keywords)
    signature = inspect.signature(function)
    if isinstance(function, functools.partial):
        held = function.keywords
        left = [each for name, each in signature.parameters.items() if name not in held]
        signature = signature.replace(parameters=left)
    return signature


def _assign(
    signature: inspect.Signature, order: Sequence[str]
) -> tuple[list[str], list[str], list[str]]:
    """Return values by position, values by name, and the parameters that went by their place."""
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    parameters = signature.parameters.values()
    named = {each.name for each in parameters if each.kind not in variadic} & NAMES
    left = [name for name in order if name not in named]
    args: list[str] = []
    kwargs: list[str] = []
    guessed: list[str] = []
    for parameter in parameters:
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            args += left
            left = []
        elif parameter.name in named:
            by_name = parameter.kind is inspect.Parameter.KEYWORD_ONLY or not _in_reach(
                parameter, signature, args
            )
            (kwargs if by_name else args).append(parameter.name)
        elif left and parameter.kind not in (*variadic, inspect.Parameter.KEYWORD_ONLY):
            guessed.append(parameter.name)
            args.append(left.pop(0))
    return args, kwargs, guessed


def _in_reach(
    parameter: inspect.Parameter, signature: inspect.Signature, args: Sequence[str]
) -> bool:
    """Whether the parameter is the next positional one: none before it was left to its default."""
    return list(signature.parameters).index(parameter.name) == len(args)
