"""What the user asks of capture: the `Intent`, how flags become one, and the values that it is made of. Pure."""
