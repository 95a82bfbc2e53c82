"""Building on many machines: a Prefect server on PostgreSQL, a work pool, and workers that share a run folder."""
