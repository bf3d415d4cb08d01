"""What a ticket must look like. Which teams there are is checked by the use case's `classes`."""

from perennial import expectations as expect

tickets = [expect.required("product", "channel"), expect.between({"words": (1, 100_000), "amount": (0, 100_000)})]
