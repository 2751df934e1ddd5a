"""Bytes → Markdown, in a child process that can be killed. `pool.ExtractionPool` is the way in."""

from opaa.extraction.port import JSON, Extracted, Limits, Reason, refusal

__all__ = ["JSON", "Extracted", "Limits", "Reason", "refusal"]
