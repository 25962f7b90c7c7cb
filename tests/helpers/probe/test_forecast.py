"""How many minutes a probe takes is said once, from its first measured steps."""

from __future__ import annotations

import logging

import pytest

from helpers.probe.forecast import MEASURED, UNMEASURED, Forecast, minutes


@pytest.mark.parametrize(
    ("total", "said"), [(6000, "Training 3 heads takes about 10 minutes, by the first 20 of at most 6000 steps."), (500, "")]
)
def test_minutes_are_said_once(total, said, caplog):
    now = 0.0

    def clock():
        return now

    forecast = Forecast(total, 3, clock)
    with caplog.at_level(logging.INFO):
        for step in range(3 * (UNMEASURED + MEASURED)):
            now += 30.0 if step < UNMEASURED else 0.1  # the first steps do not count
            forecast.step()
    assert [record.getMessage() for record in caplog.records] == ([said] if said else [])


def test_times_in_words():
    assert [minutes(s) for s in (20, 61, 600, 10800)] == ["1 minute", "1 minute", "10 minutes", "3.0 hours"]
