"""PostgreSQL, and the threads that cut."""
