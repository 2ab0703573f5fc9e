package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/quokka-stream/quokka/deploy/kafka"
)

// tool is one run of Kafka's own commands, and what it prints when it worked.
type tool struct {
	class string
	args  string // separated by blanks; BROKER and DATA are filled in
	want  string // a regular expression
}

const tools = "org.apache.kafka.tools."

// javaTools is a life: topics, records, groups, transactions, settings, the files.
var javaTools = []tool{
	{tools + "TopicCommand", "--bootstrap-server BROKER --create --topic in --partitions 2", "Created topic in"},
	{tools + "TopicCommand", "--bootstrap-server BROKER --create --topic out --partitions 2", "Created topic out"},
	{tools + "TopicCommand", "--bootstrap-server BROKER --create --topic perf --partitions 3", "Created topic perf"},
	{tools + "TopicCommand", "--bootstrap-server BROKER --describe --topic perf", "PartitionCount: 3"},
	{tools + "TopicCommand", "--bootstrap-server BROKER --alter --topic perf --partitions 4", ""},
	{tools + "ProducerPerformance", "--topic perf --num-records 50000 --record-size 200 --throughput -1 --producer-props bootstrap.servers=BROKER compression.type=zstd", "50000 records sent"},
	{tools + "ProducerPerformance", "--topic perf --num-records 20000 --record-size 200 --throughput -1 --transactional-id perf --transaction-duration-ms 100 --producer-props bootstrap.servers=BROKER compression.type=lz4", "20000 records sent"},
	{tools + "ConsumerPerformance", "--bootstrap-server BROKER --topic perf --messages 70000", ", 7[0-9]{4}, "},
	{tools + "EndToEndLatency", "--bootstrap-server BROKER --topic perf --num-records 200 --producer-acks all --record-size 100", "Avg latency"},
	{tools + "VerifiableProducer", "--bootstrap-server BROKER --topic in --max-messages 2000 --throughput -1 --acks -1 --repeating-keys 50", `"sent":2000,"acked":2000`},
	{tools + "VerifiableConsumer", "--bootstrap-server BROKER --topic in --group-id classic --max-messages 2000", `"offset":[0-9]+}\],"success":true`},
	{tools + "VerifiableConsumer", "--bootstrap-server BROKER --topic in --group-id newer --group-protocol consumer --max-messages 2000", `"offset":[0-9]+}\],"success":true`},
	{tools + "TransactionalMessageCopier", "--broker-list BROKER --input-topic in --input-partition 0 --output-topic out --transactional-id copy --consumer-group copy --transaction-size 100 --enable-random-aborts --use-group-metadata", `"stage":"ShutdownComplete".*"remaining":0`},
	{tools + "TransactionsCommand", "--bootstrap-server BROKER list", "copy .*CompleteCommit"},
	{tools + "TransactionsCommand", "--bootstrap-server BROKER describe --transactional-id copy", "CompleteCommit"},
	{tools + "TransactionsCommand", "--bootstrap-server BROKER describe-producers --topic out --partition 0", "ProducerId"},
	{tools + "GetOffsetShell", "--bootstrap-server BROKER --topic in", "in:0:[0-9]+\nin:1:[0-9]+"},
	{tools + "GetOffsetShell", "--bootstrap-server BROKER --topic in --time -3", "in:[01]:[0-9]+"},
	{tools + "consumer.group.ConsumerGroupCommand", "--bootstrap-server BROKER --describe --group copy", "copy +in +0 +[0-9]+ +[0-9]+ +0 "},
	{tools + "consumer.group.ConsumerGroupCommand", "--bootstrap-server BROKER --describe --group newer --state", "newer .*Empty"},
	{tools + "consumer.group.ConsumerGroupCommand", "--bootstrap-server BROKER --group classic --reset-offsets --to-earliest --topic in --execute", "classic +in +[01] +0"},
	{tools + "consumer.group.ConsumerGroupCommand", "--bootstrap-server BROKER --group classic --delete-offsets --topic in", "Successful"},
	{tools + "consumer.group.ConsumerGroupCommand", "--bootstrap-server BROKER --group classic --delete", "was successful"},
	{tools + "GroupsCommand", "--bootstrap-server BROKER --list", "newer +Consumer"},
	{"kafka.admin.ConfigCommand", "--bootstrap-server BROKER --entity-type topics --entity-name perf --alter --add-config retention.ms=12345", "Completed updating"},
	{"kafka.admin.ConfigCommand", "--bootstrap-server BROKER --entity-type topics --entity-name perf --describe", "retention.ms=12345"},
	{"kafka.admin.ConfigCommand", "--bootstrap-server BROKER --entity-type brokers --entity-name 1 --describe --all", "num.partitions="},
	{"kafka.admin.ConfigCommand", "--bootstrap-server BROKER --entity-type brokers --entity-name 1 --alter --add-config leader.replication.throttled.rate=1000", "Completed updating"},
	{"kafka.admin.ConfigCommand", "--bootstrap-server BROKER --alter --add-config SCRAM-SHA-256=[iterations=4096,password=x] --entity-type users --entity-name alice", "Completed updating"},
	{"kafka.admin.ConfigCommand", "--bootstrap-server BROKER --alter --add-config producer_byte_rate=1048576,request_percentage=50 --entity-type users --entity-name alice --entity-type clients --entity-default", "Completed updating"},
	{"kafka.admin.ConfigCommand", "--bootstrap-server BROKER --describe --entity-type users --entity-name alice --entity-type clients --entity-default", `Quota configs for user-principal 'alice', the default client-id are producer_byte_rate=1048576.0, request_percentage=50.0`},
	{"kafka.admin.ConfigCommand", "--bootstrap-server BROKER --alter --add-config connection_creation_rate=1000 --entity-type ips --entity-name 10.0.0.1", "Completed updating"},
	{"kafka.admin.ConfigCommand", "--bootstrap-server BROKER --describe --entity-type ips", `10.0.0.1.*connection_creation_rate=1000.0`},
	{"kafka.admin.ConfigCommand", "--bootstrap-server BROKER --alter --add-config producer_byte_rate=200000 --entity-type clients --entity-name slow", "Completed updating"},
	{tools + "ProducerPerformance", "--topic perf --num-records 30000 --record-size 100 --throughput -1 --print-metrics --producer-props bootstrap.servers=BROKER client.id=slow acks=all", `30000 records sent[\s\S]*produce-throttle-time-max:.client-id=slow. +: [1-9]`},
	{tools + "LogDirsCommand", "--bootstrap-server BROKER --describe --topic-list perf", `"partition":"perf-3"`},
	{tools + "FeatureCommand", "--bootstrap-server BROKER describe", "transaction.version.*FinalizedVersionLevel: 2"},
	{tools + "MetadataQuorumCommand", "--bootstrap-server BROKER describe --status", "LeaderId: +1"},
	{tools + "BrokerApiVersionsCommand", "--bootstrap-server BROKER", `Produce\(0\): 0 to`},
	{tools + "ClusterTool", "cluster-id --bootstrap-server BROKER", "Cluster ID"},
	{tools + "StreamsResetter", "--application-id nobody --bootstrap-server BROKER --input-topics in", "Done"},
	{tools + "DumpLogSegments", "--files DATA/topics/out-0/00000000000000000000.log --deep-iteration", "endTxnMarker: COMMIT"},
	// The group copy and the transactional id copy are both in partition 23.
	{tools + "DumpLogSegments", "--files DATA/topics/__consumer_offsets-23/00000000000000000000.log --offsets-decoder", `"group":"copy"`},
	{tools + "DumpLogSegments", "--files DATA/topics/__consumer_offsets-5/00000000000000000000.log --offsets-decoder", `"groupId":"newer"`},
	{tools + "DumpLogSegments", "--files DATA/topics/__transaction_state-23/00000000000000000000.log --transaction-log-decoder", `"transactionalId":"copy"`},
	{tools + "TopicCommand", "--bootstrap-server BROKER --create --topic rolled --partitions 1 --config segment.bytes=1048576", "Created topic rolled"},
	{tools + "ProducerPerformance", "--topic rolled --num-records 20000 --record-size 200 --throughput -1 --producer-props bootstrap.servers=BROKER", "20000 records sent"},
	{tools + "DumpLogSegments", "--files DATA/topics/rolled-0/00000000000000000000.index --index-sanity-check", "passed sanity check"},
	{tools + "DumpLogSegments", "--files DATA/topics/rolled-0/00000000000000000000.timeindex --index-sanity-check", "passed sanity check"},
	{tools + "TopicCommand", "--bootstrap-server BROKER --delete --topic perf", ""},
}

// java runs Kafka's own tools, one after the other, from the jars of the version
// that package kafka names.
func java(ctx context.Context, b *bench, r *result) error {
	cluster, err := kafka.Open(ctx, kafka.Config{Dir: filepath.Join(".quokka", "kafka"), JVM: []string{"-Xmx256m"}})
	if err != nil {
		return lacking(err)
	}
	addr, data, stop, err := b.start(ctx, "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer stop()
	r.leave("java")
	fill := strings.NewReplacer("BROKER", addr, "DATA", data)
	for _, t := range javaTools {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := runTool(ctx, cluster, t, fill); err != nil {
			r.failures = append(r.failures, err.Error())
			continue
		}
		r.passed++
	}
	return nil
}

// runTool runs a command until it ends or has printed what shows that it worked:
// the verifiable consumer goes on for ever.
func runTool(ctx context.Context, cluster *kafka.Cluster, t tool, fill *strings.Replacer) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	cmd := cluster.Tool(ctx, t.class, strings.Fields(fill.Replace(t.args))...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	out, err := cmd.CombinedOutput()
	if !regexp.MustCompile(t.want).Match(out) {
		err = errors.Join(fmt.Errorf("no %q in what it printed", t.want), err)
		return fmt.Errorf("%s %s: %w: %s", strings.TrimPrefix(t.class, tools), t.args, err, lastLine(string(out)))
	}
	if err != nil && ctx.Err() == nil && t.want == "" {
		return fmt.Errorf("%s %s: %w: %s", strings.TrimPrefix(t.class, tools), t.args, err, lastLine(string(out)))
	}
	return nil
}
