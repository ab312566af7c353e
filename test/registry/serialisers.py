"""Confluent's client for Python, with its serialisers, as a team beside the platform uses it: reads the platform's events, then
writes its own by a schema that it registers itself, and two records that are no events.

argv: broker, registry url, authority file, topic, number of events. Prints what it read, as JSON.
"""
import json
import sys

from confluent_kafka import Consumer, Producer
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

broker, url, authority, topic, count = sys.argv[1:]
client = SchemaRegistryClient({'url': url, 'ssl.ca.location': authority})
value = SerializationContext(topic, MessageField.VALUE)

consumer = Consumer({'bootstrap.servers': broker, 'group.id': 'team', 'auto.offset.reset': 'earliest'})
consumer.subscribe([topic])
message = consumer.poll(60)
read = AvroDeserializer(client)(message.value(), value)
consumer.close()

# As a team would evolve it: one field more, in front, and the others in another order.
latest = json.loads(client.get_latest_version(f'{topic}-value').schema.schema_str)
newer = {
    **latest,
    'fields': [{'name': 'campaign', 'type': ['null', 'string'], 'default': None}, *reversed(latest['fields'])],
}
serialise = AvroSerializer(client, json.dumps(newer))
producer = Producer({'bootstrap.servers': broker, 'enable.idempotence': True, 'compression.type': 'lz4'})
for number in range(1, int(count) + 1):
    event = {
        'event_id': f'python-{number}',
        'timestamp': 1_700_000_000_000 + number,
        'campaign': 'autumn',
        'country': 'DE' if number % 2 else None,
        'quantity': number,
    }
    producer.produce(topic, key=event['event_id'], value=serialise(event, value))
    producer.poll(0)
producer.produce(topic, value=b'{"not": "avro"}')
producer.produce(topic, value=b'\x00\x7f\x00\x00\x01an id that nobody registered')
assert producer.flush(60) == 0
print(json.dumps({**read, 'timestamp': read['timestamp'].timestamp()}))
