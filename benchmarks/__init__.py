"""
What the demultiplexer costs beside what a user would have otherwise: `python -m benchmarks`.

`docs/performance.rst` says what the figures show and what they don't.
"""
