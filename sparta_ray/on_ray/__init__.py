"""All that talks to Ray: sessions, nodes, queues, workers, trials."""
