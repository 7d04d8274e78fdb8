"""From what happened to the journal: facts of reports, failures, recoveries, evidence, files."""
