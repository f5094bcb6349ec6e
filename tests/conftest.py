"""How property tests draw their examples.

The same tree gives the same answer: examples are derived from each test, so that a run that was green stays green.
`pytest --hypothesis-profile=explore` draws new ones, and many more; what it finds belongs into an `@example`.
No example has a time limit of its own (a busy machine is no fault of the code); each test has one, in pyproject.toml.
"""

from hypothesis import HealthCheck, settings

settings.register_profile("same", derandomize=True, deadline=None, database=None)
settings.register_profile(
    "explore",
    max_examples=1000,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("same")
