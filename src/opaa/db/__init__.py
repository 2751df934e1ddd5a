"""PostgreSQL: the embedded server, connections, sessions with tenant context, and migrations."""
