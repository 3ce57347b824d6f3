"""What is told about connections and policy, as values: the record, the table of its fields (`fields.py`, from which
log lines, /connections and reports are made), labels of metrics, and bounds on what is logged."""
