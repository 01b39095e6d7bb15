"""The imperative shell: all input, output and side effects on behalf of the pure core (`rloop`)."""
