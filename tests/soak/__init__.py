"""Many users of one server, for minutes: `python -m tests.soak`."""
