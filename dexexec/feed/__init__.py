"""Events on their way to subscribers: publishing, delivery, and reading missed events from Postgres."""
