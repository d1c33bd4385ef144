"""The query execution core: pure code that never waits and never connects."""
