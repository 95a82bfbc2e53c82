"""How long to look: a few fixed examples with every test run, and as many as one likes by hand.

``pytest tests/fuzz --hypothesis-profile long`` takes an hour or more, and finds other examples each time.
"""

from hypothesis import HealthCheck, settings

HARMLESS = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]

settings.register_profile(
    "short", max_examples=60, derandomize=True, database=None, deadline=None, suppress_health_check=HARMLESS
)
settings.register_profile("long", max_examples=20_000, deadline=None, suppress_health_check=HARMLESS)
settings.load_profile("short")
