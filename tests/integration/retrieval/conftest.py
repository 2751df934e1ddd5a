"""The folder that the tests of indexing use, indexed and searched."""

from tests.integration.indexing.conftest import extraction, folder

__all__ = ["extraction", "folder"]
