"""Who may do what: workspaces, principals, roles, scopes."""
