"""The laptop platform: predictors and Envoy under one supervisor process, on loopback only."""
