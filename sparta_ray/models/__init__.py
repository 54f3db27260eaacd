"""Networks: encoder, projection head, decoder and their combinations."""
