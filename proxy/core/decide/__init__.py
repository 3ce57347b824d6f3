"""What becomes of a connection: admitted or refused at the door (`admission`, `loops`, `probes`), sent by policy to an
endpoint (`connection`, `verdict`), in which lane and why (`lane`)."""
