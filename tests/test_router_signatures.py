"""How handlers and steps get their arguments."""

from __future__ import annotations

import functools
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from channels_demultiplexer.router.signatures import SignatureError, plan_call

HANDLER = ("payload", "headers")
HYDRATE = ("headers", "payload")
ACCESS = ("scope", "payload")
VALUES = {"scope": "S", "headers": "H", "payload": "P", "store": "T"}


def call(function: Any, order: tuple[str, ...] = HANDLER) -> Any:
    """Plan a call and make it."""
    args, kwargs = plan_call(function, order).bind(VALUES)
    return function(*args, **kwargs)


@pytest.mark.parametrize(
    ("function", "order", "got"),
    [
        (lambda headers, payload: (headers, payload), HANDLER, ("H", "P")),
        (lambda payload, headers: (payload, headers), HYDRATE, ("P", "H")),
        (lambda payload, scope, headers: (payload, scope, headers), ACCESS, ("P", "S", "H")),
        (lambda *, headers, scope: (headers, scope), HANDLER, ("H", "S")),
        (lambda payload, /, headers: (payload, headers), HANDLER, ("P", "H")),
        (lambda store, payload: (store, payload), HANDLER, ("T", "P")),
        (lambda payload, *, store: (payload, store), ACCESS, ("P", "T")),
    ],
)
def test_named_parameters_get_what_they_are_called_in_any_order(
    function: Any, order: tuple[str, ...], got: Any
) -> None:
    """Parameters called scope, headers, payload or store are passed by name."""
    assert call(function, order) == got


@pytest.mark.parametrize(
    ("function", "order", "got"),
    [
        (lambda a, b: (a, b), HANDLER, ("P", "H")),
        (lambda a, b: (a, b), HYDRATE, ("H", "P")),
        (lambda a, b: (a, b), ACCESS, ("S", "P")),
        (lambda _, payload: (_, payload), HYDRATE, ("H", "P")),
        (lambda headers, data: (headers, data), HYDRATE, ("H", "P")),
        (lambda data, scope: (data, scope), HANDLER, ("P", "S")),
        (lambda a=1, b=2: (a, b), HANDLER, ("P", "H")),
        (lambda a, /, b: (a, b), HANDLER, ("P", "H")),
        (lambda obj: obj, ("payload",), "P"),
        (lambda *args: args, HANDLER, ("P", "H")),
        (lambda payload, *args: (payload, args), HANDLER, ("P", ("H",))),
        (lambda *args, payload: (args, payload), HANDLER, (("H",), "P")),
        (lambda *headers: headers, HANDLER, ("P", "H")),
    ],
)
def test_other_positional_parameters_get_the_rest_in_the_steps_order(
    function: Any, order: tuple[str, ...], got: Any
) -> None:
    """What is left of the step's own order goes to the other positional parameters."""
    assert call(function, order) == got


@pytest.mark.parametrize(
    ("function", "got"),
    [
        (lambda: "none", "none"),
        (lambda payload: payload, "P"),
        (lambda headers: headers, "H"),
        (lambda scope: scope, "S"),
        (lambda payload, headers, model="M": model, "M"),
        (lambda payload, *, model="M": (payload, model), ("P", "M")),
        (lambda payload, **extra: (payload, extra), ("P", {})),
    ],
)
def test_functions_may_take_fewer(function: Any, got: Any) -> None:
    """What nobody asks for is not passed, and what nobody passes keeps its default."""
    assert call(function) == got


def test_parameters_after_a_default_are_passed_by_name() -> None:
    """A named parameter behind one that keeps its default is still found."""
    assert call(lambda a, c="C", headers=None, payload=None: (a, c, headers, payload), ACCESS) == (
        "S",
        "C",
        "H",
        "P",
    )


@pytest.mark.parametrize("function", [lambda data: data, lambda data, *, x=1: data])
def test_a_single_parameter_of_another_name_is_refused(function: Any) -> None:
    """Nobody can know whether `data` means the payload, the headers or a request object."""
    with pytest.raises(SignatureError, match="'data', which could mean payload or headers"):
        plan_call(function, HANDLER)


@pytest.mark.parametrize(
    "function",
    [
        lambda a, b, c: None,
        lambda payload, headers, other: None,
        lambda *, other: None,
        lambda payload, *, other: None,
        lambda a, b, /, *, c: None,
        lambda a, b, headers: None,
    ],
)
def test_a_signature_that_wants_more_is_refused(function: Any) -> None:
    """A required parameter that nothing fills makes a function uncallable."""
    with pytest.raises(SignatureError, match="cannot be called with what it would get: missing"):
        plan_call(function, HANDLER)


def test_a_function_that_hides_its_signature_is_called_in_the_steps_order() -> None:
    """Built-in types that tell nothing get everything, by position."""
    assert call(str, ("payload",)) == "P"
    assert plan_call(str, HANDLER).args == HANDLER


class Handlers:
    """Handlers, decorated and bound."""

    @sync_to_async
    def in_thread(self, headers: Any) -> Any:
        return headers

    @staticmethod
    def static(headers: Any, payload: Any) -> Any:
        return headers, payload


async def test_decorated_methods_are_called_by_their_own_signature() -> None:
    """What asgiref makes of a method does not take `self` for an argument."""
    handlers = Handlers()
    plan = plan_call(handlers.in_thread, HANDLER)
    assert (plan.args, plan.is_coroutine) == (("headers",), True)
    assert await call(handlers.in_thread) == "H"
    assert call(handlers.static) == ("H", "P")
    assert call(functools.partial(lambda x, payload: (x, payload), "X")) == ("X", "P")


def test_what_a_partial_holds_is_its_own() -> None:
    """A partial's keyword is not replaced, whatever it is called."""

    def step(payload: Any, store: Any, headers: Any = "own") -> Any:
        return payload, store, headers

    assert call(functools.partial(step, store="mine")) == ("P", "mine", "H")
    assert call(functools.partial(step, headers="mine", store=1)) == ("P", 1, "mine")
    with pytest.raises(SignatureError, match="'data', which could mean payload or headers"):
        plan_call(functools.partial(lambda data, store: None, store=1), HANDLER)


def test_only_coroutine_functions_are_taken_for_such() -> None:
    """The async consumer awaits coroutine functions and calls plain ones in a thread."""

    async def coroutine(payload: Any) -> None: ...

    assert plan_call(coroutine, HANDLER).is_coroutine
    assert not plan_call(lambda payload: None, HANDLER).is_coroutine
    assert not plan_call(str, HANDLER).is_coroutine
