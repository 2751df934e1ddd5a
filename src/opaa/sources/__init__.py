"""Where documents come from: the connector port and its back ends."""
