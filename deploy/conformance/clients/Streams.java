// Kafka Streams with exactly_once_v2: counts by key behind a repartition topic, in
// a store with a changelog and in windows, while instances come and go and one loses
// its files. Every count must come out exactly once, in order.
//
// usage: java Streams.java BROKER DIR; prints a line "ok ..." or "failed ..." for each check.

import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.TreeMap;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.serialization.LongDeserializer;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.TimeWindows;

public class Streams {
    static final int KEYS = 40;
    static final String APP = "counter";
    static String broker;
    static Path dir;
    static boolean failed;

    public static void main(String[] args) throws Exception {
        broker = args[0];
        dir = Path.of(args[1]);
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", broker))) {
            admin.createTopics(List.of(
                new NewTopic("words", 4, (short) 1), new NewTopic("counts", 4, (short) 1), new NewTopic("windows", 4, (short) 1))).all().get();
            run(admin);
        }
        System.exit(failed ? 1 : 0);
    }

    static void run(Admin admin) throws Exception {
        KafkaStreams first = start("first");
        produce(20);
        check("counts of one instance", 20);

        KafkaStreams second = start("second"); // takes over half of the tasks
        produce(20);
        check("counts while another instance joins", 40);

        first.close(Duration.ofSeconds(30)); // and now all of them
        produce(20);
        check("counts after an instance has left", 60);

        second.close(Duration.ofSeconds(30));
        second.cleanUp(); // its stores are gone, and come back from the changelogs
        KafkaStreams third = start("second");
        produce(20);
        check("counts after stores were restored", 80);
        windows(80);
        third.close(Duration.ofSeconds(30));
        topics(admin);
    }

    static Topology topology() {
        StreamsBuilder b = new StreamsBuilder();
        var words = b.<String, String>stream("words").selectKey((k, v) -> v)
            .groupByKey(Grouped.with(Serdes.String(), Serdes.String()));
        words.count(Materialized.as("counted")).toStream().to("counts", Produced.with(Serdes.String(), Serdes.Long()));
        words.windowedBy(TimeWindows.ofSizeAndGrace(Duration.ofDays(1), Duration.ofDays(1))).count(Materialized.as("windowed"))
            .toStream((k, v) -> k.key() + "@" + k.window().start()).to("windows", Produced.with(Serdes.String(), Serdes.Long()));
        return b.build();
    }

    static KafkaStreams start(String name) throws Exception {
        Properties p = new Properties();
        p.put(StreamsConfig.APPLICATION_ID_CONFIG, APP);
        p.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, broker);
        p.put(StreamsConfig.STATE_DIR_CONFIG, dir.resolve(name).toString());
        p.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        p.put(StreamsConfig.DEFAULT_KEY_SERDE_CLASS_CONFIG, Serdes.String().getClass());
        p.put(StreamsConfig.DEFAULT_VALUE_SERDE_CLASS_CONFIG, Serdes.String().getClass());
        p.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 0); // every count is written
        p.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 100);
        p.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, 1);
        p.put(StreamsConfig.consumerPrefix("session.timeout.ms"), 10_000);
        KafkaStreams s = new KafkaStreams(topology(), p);
        s.setUncaughtExceptionHandler(e -> {
            report("the instance " + name, e.toString());
            return org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
        });
        s.start();
        long deadline = System.currentTimeMillis() + 60_000;
        while (s.state() != KafkaStreams.State.RUNNING && System.currentTimeMillis() < deadline) {
            Thread.sleep(20);
        }
        return s;
    }

    static void produce(int rounds) throws Exception {
        try (var producer = new KafkaProducer<>(Map.of("bootstrap.servers", broker), new StringSerializer(), new StringSerializer())) {
            for (int i = 0; i < rounds; i++) {
                for (int k = 0; k < KEYS; k++) {
                    producer.send(new ProducerRecord<>("words", "r" + i, "w" + k));
                }
            }
        }
    }

    // check reads what is committed until every key has been counted n times; each
    // count from 1 to n must be there once, in order.
    static void check(String what, int n) {
        Map<String, List<Long>> seen = new TreeMap<>();
        read("counts", (key, value) -> seen.computeIfAbsent(key, k -> new ArrayList<>()).add(value),
            () -> seen.size() == KEYS && seen.values().stream().allMatch(l -> l.get(l.size() - 1) >= n));
        String wrong = seen.size() == KEYS ? null : seen.size() + " of " + KEYS + " keys";
        for (var e : seen.entrySet()) {
            for (int i = 0; i < Math.max(n, e.getValue().size()); i++) {
                if (wrong == null && (i >= e.getValue().size() || e.getValue().get(i) != i + 1)) {
                    wrong = e.getKey() + " was counted " + e.getValue();
                }
            }
        }
        report(what, wrong);
    }

    static void windows(int n) {
        Map<String, Long> last = new HashMap<>();
        Map<String, Long> sum = new HashMap<>();
        read("windows", last::put, () -> {
            sum.clear();
            last.forEach((k, v) -> sum.merge(k.substring(0, k.indexOf('@')), v, Long::sum));
            return sum.size() == KEYS && sum.values().stream().allMatch(v -> v >= n);
        });
        boolean right = sum.size() == KEYS && sum.values().stream().allMatch(v -> v == n);
        report("counts in windows", right ? null : sum.toString());
    }

    interface Take { void take(String key, Long value); }
    interface Enough { boolean enough(); }

    static void read(String topic, Take take, Enough enough) {
        Map<String, Object> config = Map.of("bootstrap.servers", broker, "isolation.level", "read_committed", "auto.offset.reset", "earliest");
        try (var c = new KafkaConsumer<>(config, new StringDeserializer(), new LongDeserializer())) {
            List<TopicPartition> all = new ArrayList<>();
            c.partitionsFor(topic).forEach(p -> all.add(new TopicPartition(topic, p.partition())));
            c.assign(all);
            long deadline = System.currentTimeMillis() + 60_000;
            while (System.currentTimeMillis() < deadline) {
                var records = c.poll(Duration.ofMillis(200));
                records.forEach(r -> take.take(r.key(), r.value()));
                if (records.isEmpty() && enough.enough()) {
                    return;
                }
            }
        }
    }

    // topics: what Streams made for itself is as it asked for.
    static void topics(Admin admin) throws Exception {
        Map<String, String> want = Map.of(
            "KSTREAM-KEY-SELECT-0000000001-repartition", "delete", "counted-changelog", "compact", "windowed-changelog", "compact,delete");
        Set<String> names = admin.listTopics().names().get();
        for (var e : want.entrySet()) {
            String name = names.stream().filter(t -> t.startsWith(APP + "-") && t.endsWith(e.getKey().replaceAll(".*-(?=repartition)", "-"))).findFirst().orElse(null);
            if (name == null) {
                report("a topic for " + e.getKey(), "there are " + names);
                continue;
            }
            var resource = new ConfigResource(ConfigResource.Type.TOPIC, name);
            String policy = admin.describeConfigs(List.of(resource)).all().get().get(resource).get("cleanup.policy").value();
            report("cleanup.policy of " + name, policy.equals(e.getValue()) ? null : policy);
        }
    }

    static synchronized void report(String what, String wrong) {
        failed |= wrong != null;
        System.out.println(wrong == null ? "ok " + what : "failed " + what + ": " + wrong);
    }
}
