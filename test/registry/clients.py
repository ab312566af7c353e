"""Two registry clients of other makers against the registry: python clients.py URL TOKEN. Prints what it did, exits 1 on the first difference."""
import io
import json
import sys

from confluent_kafka.schema_registry import Schema, SchemaReference, SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.schema_registry.error import SchemaRegistryError
from confluent_kafka.serialization import MessageField, SerializationContext
from schema_registry.client import SchemaRegistryClient as OtherClient
from schema_registry.client.schema import AvroSchema
from schema_registry.serializers import AvroMessageSerializer

url, token = sys.argv[1:]


def record(*fields, name="order"):
    return {"type": "record", "name": name, "namespace": "shop", "fields": list(fields)}


def text(*fields, name="order"):
    return json.dumps(record(*fields, name=name))


ID = {"name": "id", "type": "long"}
NOTE = {"name": "note", "type": ["null", "string"], "default": None}
TOTAL = {"name": "total", "type": "double"}


def refused(code, status, work):
    try:
        work()
    except SchemaRegistryError as error:
        assert (error.error_code, error.http_status_code) == (code, status), error
        return
    raise AssertionError(f"no {code}")


def confluent():
    client = SchemaRegistryClient({"url": url, "basic.auth.user.info": f"any:{token}"})
    first = client.register_schema("py/orders-value", Schema(text(ID), "AVRO"))
    assert client.register_schema("py/orders-value", Schema(text(ID), "AVRO")) == first
    assert client.register_schema("py other", Schema(text(ID), "AVRO")) == first, "one id in all subjects"
    second = client.register_schema("py/orders-value", Schema(text(ID, NOTE), "AVRO"))
    assert second != first
    refused(409, 409, lambda: client.register_schema("py/orders-value", Schema(text(ID, TOTAL), "AVRO")))
    refused(42201, 422, lambda: client.register_schema("py/orders-value", Schema('{"type": "nothing"}', "AVRO")))
    refused(42201, 422, lambda: client.register_schema("py/orders-value", Schema('{"type": "object"}', "JSON")))
    assert client.test_compatibility("py/orders-value", Schema(text(ID, TOTAL), "AVRO")) is False
    assert client.test_compatibility("py/orders-value", Schema(text(ID), "AVRO"), 2) is True
    assert client.get_versions("py/orders-value") == [1, 2]
    assert {"py/orders-value", "py other"} <= set(client.get_subjects())
    latest = client.get_latest_version("py/orders-value")
    assert (latest.version, latest.schema_id, latest.subject) == (2, second, "py/orders-value")
    assert json.loads(client.get_schema(first).schema_str) == record(ID)
    found = client.lookup_schema("py/orders-value", Schema(text(ID), "AVRO"))
    assert (found.schema_id, found.version) == (first, 1)
    assert client.get_version("py/orders-value", 1).schema_id == first
    refused(40401, 404, lambda: client.get_versions("py nothing"))
    refused(40402, 404, lambda: client.get_version("py/orders-value", 9))
    refused(40403, 404, lambda: client.get_schema(99999))

    client.set_compatibility("py/orders-value", "FULL")
    assert client.get_compatibility("py/orders-value") == "FULL"
    refused(42203, 422, lambda: client.set_compatibility("py/orders-value", "SIDEWAYS"))
    client.set_compatibility("py/orders-value", "NONE")
    client.register_schema("py/orders-value", Schema(text(TOTAL), "AVRO"))
    refused(40408, 404, lambda: client.get_compatibility("py other"))

    # References: the type of a field is registered under a subject of its own.
    client.register_schema("py-line", Schema(text({"name": "sku", "type": "string"}, name="line"), "AVRO"))
    cart = Schema(
        text(ID, {"name": "lines", "type": {"type": "array", "items": "shop.line"}}, name="cart"),
        "AVRO",
        [SchemaReference("shop.line", "py-line", 1)],
    )
    context = SerializationContext("py-cart", MessageField.VALUE)
    value = {"id": 7, "lines": [{"sku": "a"}, {"sku": "b"}]}
    encoded = AvroSerializer(client, cart)(value, context)
    assert AvroDeserializer(client)(encoded, context) == value
    refused(42206, 422, lambda: client.delete_version("py-line", 1))

    encoded = AvroSerializer(client, text(ID, NOTE), conf={"auto.register.schemas": True})(
        {"id": 1, "note": None}, SerializationContext("py-new", MessageField.VALUE)
    )
    assert AvroDeserializer(client)(encoded, SerializationContext("py-new", MessageField.VALUE)) == {"id": 1, "note": None}

    assert client.delete_version("py/orders-value", 3) == 3
    assert client.delete_subject("py/orders-value") == [1, 2]
    refused(40404, 404, lambda: client.delete_subject("py/orders-value"))
    assert client.delete_subject("py/orders-value", permanent=True) == [1, 2, 3]
    print("confluent-kafka: ok")


def other():
    access = {"basic.auth.credentials.source": "USER_INFO", "basic.auth.user.info": f"any:{token}"}
    client = OtherClient({"url": url, **access})
    schema = AvroSchema(record(ID, NOTE))
    schema_id = client.register("other-value", schema)
    assert client.get_by_id(schema_id).name == "shop.order"
    assert client.check_version("other-value", schema).version == 1
    assert client.test_compatibility("other-value", AvroSchema(record(ID, TOTAL))) is False
    verbose = client.test_compatibility("other-value", AvroSchema(record(ID, TOTAL)), verbose=True)
    assert verbose["is_compatible"] is False and "READER_FIELD_MISSING_DEFAULT_VALUE" in verbose["messages"][0]
    assert client.update_compatibility("FULL", "other-value") is True
    assert client.get_compatibility("other-value") == "FULL"
    assert client.get_versions("other-value") == [1]
    assert client.get_schema("other-value", "latest").schema_id == schema_id
    assert {"subject": "other-value", "version": 1} in [
        {"subject": each.subject, "version": each.version} for each in client.get_schema_subject_versions(schema_id)
    ]
    serializer = AvroMessageSerializer(client)
    encoded = serializer.encode_record_with_schema("other-value", schema, {"id": 3, "note": "x"})
    assert serializer.decode_message(io.BytesIO(encoded).read()) == {"id": 3, "note": "x"}
    assert client.delete_subject("other-value") == [1]
    print("python-schema-registry-client: ok")


confluent()
other()
