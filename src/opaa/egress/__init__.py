"""The only way out: where this installation may send requests, and the clients that hold to it."""
