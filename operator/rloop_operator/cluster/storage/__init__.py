"""The port `Store` on the API server: our kinds, frozen files and the ledger."""
