"""Everything said to Kafka: client settings, topics, awaited deliveries, positions, transactions, the one reader."""
