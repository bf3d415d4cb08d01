"""Reads a feature service's online values without Feast's registry: it is asked once, then only the store is.

- `plan`: what a service consists of, frozen, and which services can be;
- `decoding`: the stores' bytes as Python values;
- `redis`, `sqlite`: one read of all views;
- `reading`: puts them together; a service or store that cannot be frozen is read through Feast's SDK.
"""
