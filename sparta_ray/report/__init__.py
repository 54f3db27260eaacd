"""The page: tables, claims, verdicts and figures of finished runs."""
