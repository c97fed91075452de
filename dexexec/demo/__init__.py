"""`python -m dexexec demo`: a client that posts orders and checks what happens to them."""
