"""The port `Runtime` with processes: what is started, the shim that outlives us, and what it leaves."""
