"""Confluent's client for Python reads whole topics, values by the schemas that a registry has: python reader.py ARGUMENTS.

ARGUMENTS: JSON of {broker, registry: configuration of the registry's client, topics}. Prints a line of JSON a record:
{topic, partition, offset, key, headers, value}; times in ms, a record without a value has null.
"""
import datetime
import json
import sys

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext

arguments = json.loads(sys.argv[1])
deserialise = AvroDeserializer(SchemaRegistryClient(arguments['registry']))
consumer = Consumer(
    {'bootstrap.servers': arguments['broker'], 'group.id': 'reader', 'enable.auto.commit': False, 'enable.partition.eof': True}
)


def plain(value):
    if isinstance(value, datetime.datetime):
        return round(value.timestamp() * 1000)
    return value.decode('latin1') if isinstance(value, bytes) else str(value)


places = [
    TopicPartition(topic, partition, OFFSET_BEGINNING)
    for topic in arguments['topics']
    for partition in consumer.list_topics(topic, 60).topics[topic].partitions
]
consumer.assign(places)
left = len(places)
while left > 0:
    message = consumer.poll(60)
    assert message is not None, 'nothing came for a minute'
    if message.error():
        assert message.error().code() == KafkaError._PARTITION_EOF, message.error()
        left -= 1
        continue
    topic = message.topic()
    record = {
        'topic': topic,
        'partition': message.partition(),
        'offset': message.offset(),
        'key': message.key() and message.key().decode(),
        'headers': {name: value.decode() for name, value in message.headers() or []},
        'value': deserialise(message.value(), SerializationContext(topic, MessageField.VALUE)),
    }
    print(json.dumps(record, default=plain))
consumer.close()
