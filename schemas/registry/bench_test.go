package registry

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// manySchemas is a topic with n schemas of about 1 KB in n/5 subjects.
func manySchemas(n int) *memTopic {
	topic := newMemTopic()
	for i := range n {
		subject, version := fmt.Sprintf("topic-%d-value", i/5), i%5+1
		var fields []string
		for f := range 12 + version {
			fields = append(fields, fmt.Sprintf(`{"name":"field_%d_%d","type":"string","doc":"What it means.","default":""}`, i/5, f))
		}
		topic.records = append(topic.records, schemaLine(subject, version, i+1, rec(fields...), false))
		topic.records[i].offset = int64(i)
	}
	topic.next = int64(n)
	return topic
}

// BenchmarkOpen starts a registry on a topic that has its schemas already, and
// reports the memory that they keep.
func BenchmarkOpen(b *testing.B) {
	for _, n := range []int{1_000, 10_000} {
		b.Run(fmt.Sprintf("schemas=%d", n), func(b *testing.B) {
			topic := manySchemas(n)
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			var last *api
			for b.Loop() {
				last = openMem(b, topic, func(c *Config) { c.Metrics = prometheus.NewRegistry() })
				b.StopTimer()
				if err := last.Close(); err != nil {
					b.Fatal(err)
				}
				last.store.state = newState("", quietLogger())
				b.StartTimer()
			}
			last = openMem(b, topic)
			runtime.GC()
			runtime.ReadMemStats(&after)
			b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/(1<<20), "MiB")
			runtime.KeepAlive(last)
		})
	}
}

// BenchmarkRequest answers requests of a registry with 10,000 schemas, without
// network and Kafka.
func BenchmarkRequest(b *testing.B) {
	a := openMem(b, manySchemas(10_000))
	known := schemaBody(a.do("GET", "/subjects/topic-7-value/versions/5/schema", "").body)
	for _, bb := range []struct{ name, method, path, body string }{
		{"by id", "GET", "/schemas/ids/4711", ""},
		{"latest", "GET", "/subjects/topic-7-value/versions/latest", ""},
		{"look up", "POST", "/subjects/topic-7-value", known},
		{"register known", "POST", "/subjects/topic-7-value/versions", known},
		{"check", "POST", "/compatibility/subjects/topic-7-value/versions", known},
	} {
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if got := a.do(bb.method, bb.path, bb.body); got.status != 200 {
					b.Fatal(got)
				}
			}
		})
	}
	b.Run("register new", func(b *testing.B) {
		n := 0
		for b.Loop() {
			n++
			a.add("new-value", fmt.Sprintf(`{"type":"record","name":"R","doc":"%d","fields":[{"name":"a","type":"int"}]}`, n))
		}
	})
}
