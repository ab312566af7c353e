import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.Future;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Kafka's own clients, told what to do by lines on standard input; every command is answered by its output and a line ".".
 * `topic NAME PARTITIONS [key=value...]`, `grow TOPIC PARTITIONS`, `trim TOPIC PARTITION OFFSET`,
 * `producer ID [key=value...]`, `begin|commit|abort|flush|close ID`,
 * `send ID TOPIC PARTITION COUNT PREFIX [BYTES]` (values PREFIX0, PREFIX1..., padded to BYTES), `null ID TOPIC PARTITION KEY`,
 * `hex ID TOPIC PARTITION VALUE`, `consume TOPIC PARTITION ISOLATION END` (`offset value` a line, up to that offset),
 * `group GROUP` (`topic partition offset` a line).
 */
public final class Clients {
  private static final Map<String, KafkaProducer<byte[], byte[]>> producers = new HashMap<>();
  private static final List<Future<RecordMetadata>> pending = new ArrayList<>();
  private static String brokers;

  public static void main(String[] args) throws Exception {
    brokers = args[0];
    BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line = in.readLine(); line != null; line = in.readLine()) {
      try {
        run(line.split(" "));
      } catch (Exception failure) {
        System.out.println("! " + String.valueOf(failure).replace('\n', ' '));
      }
      System.out.println(".");
      System.out.flush();
    }
    // A transaction that is open stays open, as after a crash.
    Runtime.getRuntime().halt(0);
  }

  private static void run(String[] words) throws Exception {
    switch (words[0]) {
      case "topic", "grow", "trim", "group" -> admin(words);
      case "producer" -> {
        Properties properties = properties(words, 2);
        properties.putIfAbsent("linger.ms", "5");
        KafkaProducer<byte[], byte[]> made =
            new KafkaProducer<>(properties, new ByteArraySerializer(), new ByteArraySerializer());
        if (properties.containsKey("transactional.id")) made.initTransactions();
        producers.put(words[1], made);
      }
      case "begin" -> producers.get(words[1]).beginTransaction();
      case "commit" -> producers.get(words[1]).commitTransaction();
      case "abort" -> producers.get(words[1]).abortTransaction();
      case "flush" -> {
        producers.get(words[1]).flush();
        for (Future<RecordMetadata> sent : pending) sent.get();
        pending.clear();
      }
      case "close" -> producers.remove(words[1]).close();
      case "send" -> {
        int bytes = words.length > 6 ? Integer.parseInt(words[6]) : 0;
        for (int i = 0; i < Integer.parseInt(words[4]); i++) {
          StringBuilder text = new StringBuilder(words[5]).append(i);
          while (text.length() < bytes) text.append((char) ('a' + text.length() * 7 % 26));
          send(words, ("k" + i).getBytes(), text.toString().getBytes(StandardCharsets.UTF_8));
        }
      }
      case "null" -> send(words, words[4].getBytes(), null);
      case "hex" -> send(words, null, java.util.HexFormat.of().parseHex(words[4]));
      case "consume" -> consume(words);
      default -> throw new IllegalArgumentException(words[0]);
    }
  }

  private static void admin(String[] words) throws Exception {
    try (Admin admin = Admin.create(properties(words, words.length))) {
      switch (words[0]) {
        case "topic" -> {
          Map<String, String> configs = new HashMap<>();
          properties(words, 3).forEach((key, value) -> configs.put((String) key, (String) value));
          configs.remove("bootstrap.servers");
          NewTopic topic = new NewTopic(words[1], Integer.parseInt(words[2]), (short) 1);
          admin.createTopics(List.of(topic.configs(configs))).all().get();
        }
        case "grow" ->
            admin.createPartitions(Map.of(words[1], NewPartitions.increaseTo(Integer.parseInt(words[2])))).all().get();
        case "trim" -> {
          TopicPartition place = new TopicPartition(words[1], Integer.parseInt(words[2]));
          admin.deleteRecords(Map.of(place, RecordsToDelete.beforeOffset(Long.parseLong(words[3])))).all().get();
        }
        default ->
            admin
                .listConsumerGroupOffsets(words[1])
                .partitionsToOffsetAndMetadata()
                .get()
                .forEach((place, at) -> System.out.println(place.topic() + " " + place.partition() + " " + at.offset()));
      }
    }
  }

  private static void send(String[] words, byte[] key, byte[] value) {
    pending.add(producers.get(words[1]).send(new ProducerRecord<>(words[2], Integer.parseInt(words[3]), key, value)));
  }

  private static void consume(String[] words) {
    Properties properties = properties(words, words.length);
    properties.put("isolation.level", words[3]);
    TopicPartition place = new TopicPartition(words[1], Integer.parseInt(words[2]));
    long end = Long.parseLong(words[4]);
    try (KafkaConsumer<byte[], byte[]> consumer =
        new KafkaConsumer<>(properties, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
      consumer.assign(List.of(place));
      consumer.seekToBeginning(List.of(place));
      while (consumer.position(place) < end)
        for (ConsumerRecord<byte[], byte[]> found : consumer.poll(Duration.ofMillis(200)))
          System.out.println(
              found.offset() + " " + (found.value() == null ? "null" : new String(found.value(), StandardCharsets.UTF_8)));
    }
  }

  private static Properties properties(String[] words, int from) {
    Properties properties = new Properties();
    properties.put("bootstrap.servers", brokers);
    for (int i = from; i < words.length; i++) {
      int at = words[i].indexOf('=');
      properties.put(words[i].substring(0, at), words[i].substring(at + 1));
    }
    return properties;
  }
}
