"""Feature definitions of the use case `tickets`."""

from datetime import timedelta

from feast import Entity, FeatureService, ValueType

from perennial import LakeTables

product = Entity(name="product", value_type=ValueType.STRING, description="What the ticket is about.")
table = LakeTables("tickets", owner="support-desk")

product_lately = table("product_lately", product, ttl=timedelta(days=14)).view(
    "What a product's tickets of a week were about.",
    words_7d="Words, on average.",
    technical_7d="Share solved by the technical team.",
    delivery_7d="Share solved by the delivery team.",
    subscriptions_7d="Share solved by the subscriptions team.",
)

tickets = FeatureService(name="tickets", features=[product_lately])
