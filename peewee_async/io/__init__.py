"""The asyncio layer: it carries the core's statements to drivers and back."""
