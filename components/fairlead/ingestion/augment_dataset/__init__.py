"""Further, slightly changed pictures to learn from."""
