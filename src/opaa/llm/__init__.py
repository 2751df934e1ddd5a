"""Embedding and chat models: local ones and endpoints, behind two ports."""
