"""Confluent's own serialisers: writes events of a schema that it registers itself, and reads a record of ours.

argv: registry url, authority file ('' without TLS), frame of ours as hex. Prints JSON.
"""
import json
import sys

from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

url, authority, ours = sys.argv[1:]
client = SchemaRegistryClient({'url': url, **({'ssl.ca.location': authority} if authority else {})})
value = SerializationContext('fair.order', MessageField.VALUE)

# As a team of its own would evolve it: one field more, in front, and the others in another order.
latest = json.loads(client.get_latest_version('fair.order-value').schema.schema_str)
newer = {
    **latest,
    'fields': [{'name': 'campaign', 'type': ['null', 'string'], 'default': None}, *reversed(latest['fields'])],
}
serialise = AvroSerializer(client, json.dumps(newer))


def event(number):
    return {
        'event_id': f'python-{number}',
        'timestamp': 1_700_000_000_000 + number,
        'campaign': 'autumn',
        'country': 'DE' if number % 2 else None,
        'quantity': number,
    }


frames = [serialise(event(number), value).hex() for number in range(1, 6)]
read = AvroDeserializer(client)(bytes.fromhex(ours), value)
print(json.dumps({'frames': frames, 'read': {**read, 'timestamp': read['timestamp'].timestamp()}}))
