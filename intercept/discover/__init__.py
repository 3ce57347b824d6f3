"""Who talks to whom on this host, before capture is put in force or beside it.

`traced` sees everything by programs that bcc compiles, `polled` what the kernel's table of sockets shows now and then.
Both tell `gathered`, which makes rows of it; `names` and `guess` put names on addresses and protocols.
"""
