"""confluent-kafka (librdkafka), kafka-python and aiokafka against one broker: records
in every codec, groups, transactions where the client has them. Prints a line for each check, "ok NAME" or
"failed NAME: WHY"; which client is the second argument."""
import sys
import time
import uuid

broker, client = sys.argv[1], sys.argv[2]
CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
N = 200


def check(name, f):
    try:
        f()
        print("ok", name, flush=True)
    except Exception as e:  # every failure is a line of the report
        print("failed %s: %r" % (name, e), flush=True)


def equal(got, want):
    if got != want:
        raise AssertionError("%r, want %r" % (got, want))


def confluent():
    from confluent_kafka import Consumer, Producer, TopicPartition
    from confluent_kafka.admin import AdminClient, NewTopic

    def consume(topic, n, **more):
        c = Consumer({"bootstrap.servers": broker, "group.id": "g" + uuid.uuid4().hex, "auto.offset.reset": "earliest", **more})
        c.subscribe([topic])
        got, end = [], time.time() + 30
        while len(got) < n and time.time() < end:
            m = c.poll(0.5)
            if m is not None and not m.error():
                got.append(m.value())
        if got:
            c.commit(asynchronous=False)
        equal(len(got), n)
        equal(sum(p.offset for p in c.committed([TopicPartition(topic, 0)])) >= n, True)
        c.close()

    admin = AdminClient({"bootstrap.servers": broker})

    def create(topic):
        admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(10)

    for codec in CODECS:
        def run(codec=codec):
            topic = "py-%s-%s" % (codec, uuid.uuid4().hex)
            create(topic)
            p = Producer({"bootstrap.servers": broker, "compression.type": codec, "enable.idempotence": True})
            for i in range(N):
                p.produce(topic, b"value %d" % i, key=b"k")
            equal(p.flush(20), 0)
            consume(topic, N)
        check("produce and consume, " + codec, run)

    def group848():
        topic = "py-848-" + uuid.uuid4().hex
        create(topic)
        p = Producer({"bootstrap.servers": broker})
        for i in range(N):
            p.produce(topic, b"value %d" % i)
        equal(p.flush(20), 0)
        consume(topic, N, **{"group.protocol": "consumer"})
    check("a group in the consumer protocol", group848)

    def transaction():
        topic = "py-txn-" + uuid.uuid4().hex
        create(topic)
        p = Producer({"bootstrap.servers": broker, "transactional.id": uuid.uuid4().hex})
        p.init_transactions(20)
        for commit in (False, True):
            p.begin_transaction()
            for i in range(N):
                p.produce(topic, b"value %d" % i)
            p.flush(20)
            p.commit_transaction(20) if commit else p.abort_transaction(20)
        consume(topic, N, **{"isolation.level": "read_committed"})
    check("transactions", transaction)

    def describe():
        equal(len(admin.list_topics(timeout=10).brokers), 1)
        admin.list_consumer_groups().result(10)
    check("administration", describe)


def kafka_python():
    from kafka import KafkaConsumer, KafkaProducer, TopicPartition

    for codec in CODECS:
        def run(codec=codec):
            topic = "kp-%s-%s" % (codec, uuid.uuid4().hex)
            p = KafkaProducer(bootstrap_servers=broker, compression_type=None if codec == "none" else codec, acks="all")
            for i in range(N):
                p.send(topic, b"value %d" % i, key=b"k")
            p.flush(20)
            p.close()
            c = KafkaConsumer(topic, bootstrap_servers=broker, group_id="g" + uuid.uuid4().hex, auto_offset_reset="earliest", consumer_timeout_ms=15000)
            got = 0
            for _ in c:
                got += 1
                if got == N:
                    break
            equal(got, N)
            c.commit()
            equal(c.committed(TopicPartition(topic, 0)), N)
            c.close()
        check("produce and consume, " + codec, run)


def aiokafka():
    import asyncio
    from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
    from aiokafka.admin import AIOKafkaAdminClient, NewTopic

    async def consume(topic, n, **more):
        c = AIOKafkaConsumer(topic, bootstrap_servers=broker, group_id="g" + uuid.uuid4().hex, auto_offset_reset="earliest", enable_auto_commit=False, **more)
        await c.start()
        try:
            got = []
            while len(got) < n:
                got.append((await asyncio.wait_for(c.getone(), 20)).value)
            await c.commit()
            equal((await c.committed(TopicPartition(topic, 0))) >= n, True)
            return got
        finally:
            await c.stop()

    async def codec_round(codec):
        topic = "aio-%s-%s" % (codec, uuid.uuid4().hex)
        p = AIOKafkaProducer(bootstrap_servers=broker, compression_type=None if codec == "none" else codec, enable_idempotence=True)
        await p.start()
        for i in range(N):
            await p.send(topic, b"value %d" % i, key=b"k")
        await p.flush()
        await p.stop()
        equal(await consume(topic, N), [b"value %d" % i for i in range(N)])

    async def transaction():
        topic = "aio-txn-" + uuid.uuid4().hex
        p = AIOKafkaProducer(bootstrap_servers=broker, transactional_id=uuid.uuid4().hex)
        await p.start()
        for word, commit in ((b"aborted", False), (b"committed", True)):
            await p.begin_transaction()
            for _ in range(N):
                await p.send(topic, word)
            await (p.commit_transaction() if commit else p.abort_transaction())
        await p.stop()
        equal(set(await consume(topic, N, isolation_level="read_committed")), {b"committed"})

    async def describe():
        a = AIOKafkaAdminClient(bootstrap_servers=broker)
        await a.start()
        topic = "aio-admin-" + uuid.uuid4().hex
        await a.create_topics([NewTopic(topic, 3, 1)])
        equal(len((await a.describe_topics([topic]))[0]["partitions"]), 3)
        await a.list_consumer_groups()
        await a.close()

    for codec in CODECS:
        check("produce and consume, " + codec, lambda codec=codec: asyncio.run(codec_round(codec)))
    check("transactions", lambda: asyncio.run(transaction()))
    check("administration", lambda: asyncio.run(describe()))


{"confluent-kafka": confluent, "kafka-python": kafka_python, "aiokafka": aiokafka}[client]()
