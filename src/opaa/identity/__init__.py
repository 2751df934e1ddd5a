"""Who somebody is: users, log-in sessions, API tokens."""
