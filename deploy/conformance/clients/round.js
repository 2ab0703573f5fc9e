// kafkajs and @platformatic/kafka against one broker: records, a group, and for
// kafkajs a transaction. Prints a line for each check, "ok NAME" or
// "failed NAME: WHY"; which client is the second argument.
'use strict'
const { randomUUID } = require('node:crypto')
const [broker, client] = process.argv.slice(2)
const n = 200
const values = Array.from({ length: n }, (_, i) => 'value ' + i)

async function check (name, f) {
  try {
    await f()
    console.log('ok ' + name)
  } catch (e) {
    console.log('failed ' + name + ': ' + e)
  }
}

function within (ms, p, what) {
  return Promise.race([p, new Promise((_, reject) => setTimeout(() => reject(new Error(what + ': not within ' + ms + ' ms')), ms).unref())])
}

async function kafkajs () {
  const { Kafka, logLevel, CompressionTypes } = require('kafkajs')
  const kafka = new Kafka({ clientId: 'conformance', brokers: [broker], logLevel: logLevel.NOTHING })
  const admin = kafka.admin()
  await admin.connect()

  async function consume (topic) {
    const consumer = kafka.consumer({ groupId: 'g' + randomUUID(), readUncommitted: false })
    await consumer.connect()
    await consumer.subscribe({ topic, fromBeginning: true })
    let got = 0
    await within(40000, new Promise((resolve, reject) => {
      consumer.run({ eachMessage: async () => { if (++got === n) resolve() } }).catch(reject)
    }), 'consuming').finally(() => consumer.disconnect())
  }
  for (const [name, compression] of [['none', CompressionTypes.None], ['gzip', CompressionTypes.GZIP]]) {
    await check('produce and consume, ' + name, async () => {
      const topic = 'js-' + randomUUID()
      await admin.createTopics({ topics: [{ topic, numPartitions: 1 }], waitForLeaders: true })
      const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1 })
      await producer.connect()
      await producer.send({ topic, compression, acks: -1, messages: values.map(value => ({ key: 'k', value })) })
      await producer.disconnect()
      await consume(topic)
    })
  }
  await check('transactions', async () => {
    const topic = 'js-txn-' + randomUUID()
    await admin.createTopics({ topics: [{ topic, numPartitions: 1 }], waitForLeaders: true })
    const producer = kafka.producer({ transactionalId: randomUUID(), idempotent: true, maxInFlightRequests: 1 })
    await producer.connect()
    for (const commit of [false, true]) {
      const txn = await producer.transaction()
      await txn.send({ topic, messages: values.map(value => ({ value })) })
      await (commit ? txn.commit() : txn.abort())
    }
    await producer.disconnect()
    await consume(topic)
  })
  await check('administration', async () => {
    await admin.describeCluster()
    await admin.listGroups()
    await admin.fetchTopicMetadata()
  })
  await admin.disconnect()
}

async function platformatic () {
  const { Consumer, Producer, Admin, stringSerializers, stringDeserializers } = require('@platformatic/kafka')
  const options = { clientId: 'conformance', bootstrapBrokers: [broker] }
  for (const groupProtocol of ['classic', 'consumer']) {
    await check('produce and consume, group protocol ' + groupProtocol, async () => {
      const topic = 'pf-' + randomUUID()
      const admin = new Admin(options)
      await admin.createTopics({ topics: [topic], partitions: 1, replicas: 1 })
      await admin.close()
      const producer = new Producer({ ...options, serializers: stringSerializers })
      await producer.send({ messages: values.map(value => ({ topic, key: 'k', value })) })
      await producer.close()
      const consumer = new Consumer({ ...options, groupId: 'g' + randomUUID(), groupProtocol, deserializers: stringDeserializers })
      const stream = await consumer.consume({ topics: [topic], mode: 'earliest', autocommit: true })
      let got = 0
      await within(40000, (async () => { for await (const _ of stream) if (++got === n) return })(), 'consuming')
      await stream.close()
      await consumer.close(true)
    })
  }
}

const run = { kafkajs, '@platformatic/kafka': platformatic }[client]
run().then(() => process.exit(0), e => { console.log('failed to run: ' + e); process.exit(1) })
