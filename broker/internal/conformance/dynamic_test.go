package conformance

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/quokka-stream/quokka/broker"
	"github.com/quokka-stream/quokka/broker/internal/record"
)

// open says whether the broker keeps a new connection open and answers it.
func open(t *testing.T, addr string) bool {
	t.Helper()
	c := dial(t, addr)
	defer c.nc.Close()
	if _, err := c.nc.Write(kmsg.NewRequestFormatter().AppendRequest(nil, apiVersions(3), 1)); err != nil {
		return false
	}
	_, err := c.frame()
	return err == nil
}

func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !f(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("in vain waited for: %s", what)
		}
	}
}

// TestDynamicSettings: settings that may be changed while the broker runs take
// effect at once, and again after a restart.
func TestDynamicSettings(t *testing.T) {
	b := start(t)
	c := dial(t, b.Addr())
	again := func() { b.Restart(); c = dial(t, b.Addr()) }
	c.create("t", 1)
	set := func(resource, name string, value ...string) {
		t.Helper()
		if code, message := c.alterBroker(resource, name, value...); code != 0 {
			t.Fatalf("%s=%v: %d %s", name, value, code, message)
		}
	}
	produce := func(acks int16, records []byte) int16 {
		t.Helper()
		return ask[*kmsg.ProduceResponse](c, 9, produceRequest("t", 0, acks, records)).Topics[0].Partitions[0].ErrorCode
	}
	small, large := batch(record.Options{}, "x"), batch(record.Options{}, string(make([]byte, 2000)))

	t.Run("message.max.bytes", func(t *testing.T) {
		set("", "message.max.bytes", "1000")
		expect(t, "a batch above it", produce(-1, large), 10)
		set("1", "message.max.bytes", "5000")
		expect(t, "this broker's own value", produce(-1, large), 0)
		set("1", "message.max.bytes")
		set("", "message.max.bytes")
	})
	t.Run("min.insync.replicas", func(t *testing.T) {
		set("", "min.insync.replicas", "2")
		expect(t, "acks=all", produce(-1, small), 19)
		expect(t, "acks=1", produce(1, small), 0)
		again()
		expect(t, "acks=all after a restart", produce(-1, small), 19)
		set("", "min.insync.replicas")
		expect(t, "acks=all as before", produce(-1, small), 0)
	})
	t.Run("connections", func(t *testing.T) {
		for _, x := range []struct{ name, value string }{
			{"max.connections", "1"}, {"listener.name.plaintext.max.connections", "1"}, {"max.connections.per.ip.overrides", "127.0.0.1:1"},
		} {
			set("1", x.name, x.value)
			eventually(t, x.name+" refuses one more", func() bool { return !open(t, b.Addr()) })
			set("1", x.name)
			eventually(t, "without it one more is welcome", func() bool { return open(t, b.Addr()) })
		}
	})
	t.Run("a bound per address leaves this machine alone", func(t *testing.T) {
		set("", "max.connections.per.ip", "1")
		if !open(t, b.Addr()) { // beside c
			t.Error("a connection from loopback is refused")
		}
	})
	t.Run("max.connection.creation.rate", func(t *testing.T) {
		set("", "max.connection.creation.rate", "20")
		began, n := time.Now(), 0
		// Where the machine stands still meanwhile, more than thirty may come without a pause.
		eventually(t, "a connection is held back", func() bool {
			var queue []*conn
			for range 30 {
				queue = append(queue, dial(t, b.Addr()))
			}
			for _, c := range queue {
				ask[*kmsg.ApiVersionsResponse](c, 3, apiVersions(3))
				c.nc.Close()
			}
			n += len(queue)
			return sample(t, b, hitsOf("connection_rate")) != "0"
		})
		if took, least := time.Since(began), time.Duration(n-20)*time.Second/20-100*time.Millisecond; took < least {
			t.Errorf("%d connections at 20 a second, of which 20 may come at once, took %s", n, took)
		}
		set("", "max.connection.creation.rate")
	})
}

// TestStaticSettings: settings by Kafka's names at the start.
func TestStaticSettings(t *testing.T) {
	b := start(t, func(c *broker.Config) {
		c.Settings = map[string]string{
			"num.partitions": "3", "delete.topic.enable": "false", "log.retention.hours": "2", "offset.metadata.max.bytes": "3",
			"auto.create.topics.enable": "false", "default.replication.factor": "3", "num.network.threads": "9",
		}
	})
	c := dial(t, b.Addr())
	create := func(name string, partitions int32, replicas int16) kmsg.CreateTopicsResponseTopic {
		req := kmsg.NewPtrCreateTopicsRequest()
		topic := kmsg.NewCreateTopicsRequestTopic()
		topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, partitions, replicas
		req.Topics = append(req.Topics, topic)
		return ask[*kmsg.CreateTopicsResponse](c, 7, req).Topics[0]
	}
	expect(t, "the default of three replicas", create("t", -1, -1).ErrorCode, 38)
	created := create("t", -1, 1)
	if created.ErrorCode != 0 || created.NumPartitions != 3 {
		t.Errorf("created is %+v", created)
	}
	for _, cfg := range created.Configs {
		if cfg.Name == "retention.ms" && (*cfg.Value != "7200000" || cfg.Source != int8(kmsg.ConfigSourceStaticBrokerConfig)) {
			t.Errorf("retention.ms is %s from %d", *cfg.Value, cfg.Source)
		}
	}
	del := kmsg.NewPtrDeleteTopicsRequest()
	del.TopicNames = []string{"t"}
	expect(t, "a deletion", ask[*kmsg.DeleteTopicsResponse](c, 5, del).Topics[0].ErrorCode, 73)
	expect(t, "a topic that is asked about", metadata(c, 9, true, "new").Topics[0].ErrorCode, 3)
}

// TestReplicationFactor: more replicas than brokers are refused, as by Apache
// Kafka, unless they are to be clamped.
func TestReplicationFactor(t *testing.T) {
	for clamp, want := range map[string]int16{"false": 38, "true": 0} {
		b := start(t, func(c *broker.Config) { c.Settings = map[string]string{"quokka.replication.factor.clamp": clamp} })
		c := dial(t, b.Addr())
		for replicas := int16(2); replicas <= 3; replicas++ {
			req := kmsg.NewPtrCreateTopicsRequest()
			topic := kmsg.NewCreateTopicsRequestTopic()
			topic.Topic, topic.NumPartitions, topic.ReplicationFactor = "t"+string('0'+rune(replicas)), 1, replicas
			req.Topics = append(req.Topics, topic)
			r := ask[*kmsg.CreateTopicsResponse](c, 7, req).Topics[0]
			expect(t, "replicas with clamp="+clamp, r.ErrorCode, want)
			if want == 0 && r.ReplicationFactor != 1 {
				t.Errorf("clamped to %d", r.ReplicationFactor)
			}
		}
	}
}
