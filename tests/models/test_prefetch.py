"""Working ahead: begun at once, errors in their place, and a thread that ends with the iterator."""

import threading

import pytest

from models.prefetch import ahead, begun


def test_begun_works_before_anything_is_asked_for():
    started = threading.Event()

    def items():
        started.set()
        yield from range(3)

    made = begun(items())
    assert started.wait(10)
    assert list(made) == [0, 1, 2]


def test_an_error_comes_out_in_its_place():
    def items():
        yield 1
        raise OSError("cut")

    made = begun(items())
    assert next(made) == 1
    with pytest.raises(OSError, match="cut"):
        next(made)


@pytest.mark.parametrize("make", [begun, ahead])
def test_left_early_the_thread_ends(make):
    before = threading.active_count()
    made = make(iter(range(1000)), 2)
    assert next(made) == 0
    made.close()
    assert threading.active_count() == before


def test_closed_before_it_is_asked_the_thread_ends():
    before = threading.active_count()
    begun(iter(range(1000)), 2).close()
    assert threading.active_count() == before
