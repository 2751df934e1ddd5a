"""Where chunks are found again: the port to vector stores and its back ends."""
