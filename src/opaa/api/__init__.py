"""HTTP: the REST API and the web UI's files."""
