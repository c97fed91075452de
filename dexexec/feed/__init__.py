"""Events on their way to subscribers: publishing, fan-out, catching up from Postgres."""
