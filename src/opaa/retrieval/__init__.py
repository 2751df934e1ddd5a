"""Hybrid search over an organization's documents: analysis, fusion, attributes, evaluation."""
