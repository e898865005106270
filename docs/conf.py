"""Sphinx configuration: `sphinx-build -W docs docs/_build`. Needs no network."""

import sys
from importlib.metadata import version as version_of
from pathlib import Path

from django.conf import settings

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import diagrams  # noqa: E402

# The consumers that autodoc imports look at Django's settings.
settings.configure(USE_TZ=True)

diagrams.draw_all(HERE / "_static" / "diagrams")

project = "channels-demultiplexer"
copyright = "The channels-demultiplexer developers"
author = "The channels-demultiplexer developers"
release = version_of("channels-demultiplexer")
version = ".".join(release.split(".")[:2])

extensions = ["sphinx.ext.autodoc", "sphinx.ext.intersphinx", "sphinx.ext.napoleon"]
# The names that these pages refer to, with where others document them. Kept here, as text, since a
# build must neither need a network nor change with what it finds there.
intersphinx_mapping = {
    "python": ("https://docs.python.org/3", "inventories/python.txt"),
    "django": ("https://docs.djangoproject.com/en/5.2", "inventories/django.txt"),
    "channels": ("https://channels.readthedocs.io/en/stable", "inventories/channels.txt"),
}
exclude_patterns = ["_build"]
# In docstrings, `name` is code.
default_role = "code"
highlight_language = "python"

autodoc_default_options = {"member-order": "bysource"}
autodoc_typehints = "signature"
autodoc_typehints_format = "short"

html_theme = "furo"
html_title = f"channels-demultiplexer {release}"
html_copy_source = False
