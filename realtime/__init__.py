"""How others hear of what was done: Pusher servers, the outbox, and who may listen."""
