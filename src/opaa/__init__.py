"""OPAA: answers an organization's questions from its own documents, with citations."""

__version__ = "0.1.0"
