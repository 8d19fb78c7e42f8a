"""The contracts: event, pipeline, flow state, ledger documents, manifest, run."""
