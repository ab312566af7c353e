"""Confluent's client for Python, with its serialisers, as a team beside the platform uses it: reads the platform's events, then
writes its own by schemas that it registers itself, a newer and an older one, the first of them twice, and two records that are no
events.

argv: broker, registry url, authority file, topic, number of events, number of those that are written twice. Prints "half" and waits for a line; at the end what it read, as
JSON.
"""
import json
import sys

from confluent_kafka import Consumer, Producer
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

broker, url, authority, topic, count, again = sys.argv[1:]
client = SchemaRegistryClient({'url': url, 'ssl.ca.location': authority})
value = SerializationContext(topic, MessageField.VALUE)

consumer = Consumer({'bootstrap.servers': broker, 'group.id': 'team', 'auto.offset.reset': 'earliest'})
consumer.subscribe([topic])
message = consumer.poll(60)
read = AvroDeserializer(client)(message.value(), value)
consumer.close()

# As a team would evolve it: one field more, in front, and the others in another order. Another of its programs is behind: it knows
# no country.
latest = json.loads(client.get_latest_version(f'{topic}-value').schema.schema_str)
newer = {
    **latest,
    'fields': [{'name': 'campaign', 'type': ['null', 'string'], 'default': None}, *reversed(latest['fields'])],
}
older = {**latest, 'fields': [field for field in latest['fields'] if field['name'] != 'country']}
serialise_newer, serialise_older = (AvroSerializer(client, json.dumps(schema)) for schema in (newer, older))
producer = Producer(
    {
        'bootstrap.servers': broker,
        'enable.idempotence': True,
        'compression.type': 'lz4',
        'reconnect.backoff.max.ms': 500,
        'message.timeout.ms': 0,
        'log_level': 0,
    }
)


def send(number):
    event = {'event_id': f'python-{number}', 'timestamp': 1_700_000_000_000 + number, 'quantity': number}
    if number % 2 == 0:
        data = serialise_newer({**event, 'campaign': 'autumn', 'country': 'DE'}, value)
    else:
        data = serialise_older(event, value)
    producer.produce(topic, key=event['event_id'], value=data)
    producer.poll(0)


half = int(count) // 2
for number in range(1, half + 1):
    send(number)
# With batches on their way: whoever reads this kills the broker, and says so.
print('half', flush=True)
sys.stdin.readline()
for number in range(half + 1, int(count) + 1):
    send(number)
# As a job does that ran again.
for number in range(1, int(again) + 1):
    send(number)
producer.produce(topic, value=b'{"not": "avro"}')
producer.produce(topic, value=b'\x00\x7f\x00\x00\x01an id that nobody registered')
assert producer.flush(300) == 0
print(json.dumps({**read, 'timestamp': read['timestamp'].timestamp()}))
