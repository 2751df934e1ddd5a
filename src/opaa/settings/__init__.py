"""Typed settings from the environment and an optional YAML file. Nothing else reads `os.environ`."""

from opaa.settings.load import InvalidSettingsError, load
from opaa.settings.model import Settings

__all__ = ["InvalidSettingsError", "Settings", "load"]
