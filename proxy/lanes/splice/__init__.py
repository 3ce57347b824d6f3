"""The splice lane: the engine accepts, decides by its verdict table and moves the bytes. `lane` is its life,
`verdict_table` keeps the table as policy says, `retired` finds out when a replaced verdict may be forgotten, `watch`
hears what the engine has to tell."""
