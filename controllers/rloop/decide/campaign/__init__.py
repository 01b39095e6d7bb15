"""Steps about the campaign as a whole: its sealed spec, budget, report and ledger, and what its status says."""
