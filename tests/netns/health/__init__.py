"""One health for all lanes: ejection, trials and active checks on a kernel."""
