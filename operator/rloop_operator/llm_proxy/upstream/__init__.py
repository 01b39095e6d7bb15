"""The way to the provider: retries, circuit breakers, one exchange, its response or stream."""
