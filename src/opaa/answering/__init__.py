"""A question's way to a cited answer."""
