from pathlib import Path

from setuptools import setup
from setuptools.command.sdist import sdist

#: Beside the package: with these, the source distribution can test and document itself.
FOLDERS = ("benchmarks", "docs", "example", "tests")
FILES = ("CHANGELOG.rst", "Makefile", "tox.ini")
#: What running leaves behind.
IGNORED = {"__pycache__", "_build", "node_modules"}


class SourceDistribution(sdist):
    """A source distribution with all of the repository that the tests need."""

    def make_release_tree(self, base_dir: str, files: list[str]) -> None:
        more = {
            str(path)
            for folder in FOLDERS
            for path in Path(folder).rglob("*")
            if path.is_file() and not IGNORED & set(path.parts) and "sqlite3" not in path.name
        }
        super().make_release_tree(base_dir, sorted({*files, *FILES, *more}))


setup(cmdclass={"sdist": SourceDistribution})
