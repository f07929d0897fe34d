"""Embeddings made anywhere: their numbers, by any protocol, in the same record as a run's."""
