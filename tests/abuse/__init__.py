"""Attacks: cheap requests that must stay cheap, and rights that must end."""
