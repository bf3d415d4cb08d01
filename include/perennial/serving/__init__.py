"""Online serving: the champion's predictions on request, from the newest features of the online store.

- `request_schema`: what a request may hold, by field and type; checks examples against it;
- `loaded_version`: the version that serves, by the ledger, loaded with all that a request needs;
- `features`: the features of a request's examples, and which are missing and why;
- `answers`: what is answered;
- `predicting`: `perennial.predict`, which puts these together.
"""
