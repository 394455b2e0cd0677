"""The demo: three models of real flights; the second is promoted by its canary, the third is stopped by it."""
