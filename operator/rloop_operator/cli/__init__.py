"""The rloop command: `main` has its verbs, `options` what several of them share."""
