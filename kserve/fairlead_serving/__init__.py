"""What runs inside the serving images; stands alone."""
