package registry

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// line is a record of a topic as test data: key, then value, "" for a tombstone.
func line(key, value string) logRecord {
	r := logRecord{key: []byte(key)}
	if value != "" {
		r.value = []byte(value)
	}
	return r
}

func canonical(r record) logRecord { return logRecord{key: r.key.bytes(), value: r.value} }

func replay(records []logRecord) *state {
	st := newState("test", quietLogger())
	for _, r := range records {
		st.apply(r)
	}
	return st
}

func schemaLine(subject string, version, id int, schema string, deleted bool) logRecord {
	e := &entry{subject: subject, version: version, id: id, schemaType: typeAvro, schema: schema, deleted: deleted}
	e.hash = hashSchema(schema, nil, nil, nil)
	return canonical(schemaRecord(e))
}

// TestOldRecords reads what registries before version 7 wrote: no type, no
// hash, a null subject.
func TestOldRecords(t *testing.T) {
	topic := newMemTopic(
		line(`{"magic":0,"keytype":"NOOP"}`, ""),
		line(`{"keytype":"CONFIG","subject":null,"magic":0}`, `{"compatibilityLevel":"FULL"}`),
		line(`{"keytype":"SCHEMA","subject":"s","version":1,"magic":1}`, `{"subject":"s","version":1,"id":3,"schema":"\"int\"","deleted":false}`),
		line(`{"keytype":"UNKNOWN","magic":0}`, `{}`),
		line(`garbage`, `garbage`),
		line(`{"keytype":"SCHEMA","subject":"t","version":1,"magic":1}`, `garbage`),
	)
	a := openMem(t, topic)
	a.run([]step{
		{"GET", "/config", "", `200 {"compatibilityLevel":"FULL"}`},
		{"GET", "/subjects/s/versions/1", "", `200 {"id":3,"schemaType":"AVRO","schema":"\"int\""}`},
		{"POST", "/subjects/s/versions", schemaBody(`{"type":"int"}`), `200 {"id":3,"version":1}`},
		{"POST", "/subjects/t/versions", schemaBody(`"long"`), `200 {"id":4,"version":1}`},
	})
	if got := replay(topic.copy()).skipped; got != 3 {
		t.Errorf("skipped %d records, want 3", got)
	}
}

// TestDeletedFirst: after compaction the first sight of a schema may be its
// soft-deleted form.
func TestDeletedFirst(t *testing.T) {
	a := openMem(t, newMemTopic(schemaLine("s", 2, 9, `"int"`, true)))
	a.run([]step{
		{"GET", "/schemas/ids/9", "", `200 {"schema":"\"int\""}`},
		{"GET", "/subjects", "", `200 []`},
		{"GET", "/subjects?deleted=true", "", `200 ["s"]`},
		{"POST", "/subjects/s/versions", schemaBody(`"int"`), `200 {"id":9,"version":3}`},
		{"POST", "/subjects/t/versions", schemaBody(`"long"`), `200 {"id":10}`},
	})
}

// TestSpellings: a schema written under another form of its key must not come
// back after it was deleted, however the topic is compacted.
func TestSpellings(t *testing.T) {
	value := `{"subject":"s","version":1,"id":1,"schema":"\"int\"","deleted":false}`
	topic := newMemTopic(
		line(`{"magic":1,"keytype":"SCHEMA","version":1,"subject":"s"}`, value),
		line(`{"keytype":"SCHEMA","subject":"s","version":1,"magic":0}`, value),
		line(`{"keytype":"CONFIG","magic":0,"subject":"s"}`, `{"compatibilityLevel":"NONE"}`),
	)
	a := openMem(t, topic)
	a.run([]step{
		{"DELETE", "/subjects/s", "", `200 [1]`},
		{"DELETE", "/subjects/s?permanent=true", "", `200 [1]`},
	})
	topic.compact()
	openMem(t, topic).run([]step{
		{"GET", "/subjects?deleted=true", "", `200 []`},
		{"GET", "/config/s", "", `404`},
		{"POST", "/subjects/s/versions", schemaBody(`"int"`), `200 {"id":2}`},
	})
}

// TestStolenID: a record that gives an id to a second schema is ignored.
func TestStolenID(t *testing.T) {
	st := replay(newMemTopic(
		schemaLine("s", 1, 1, `"int"`, false),
		schemaLine("t", 1, 1, `"long"`, false),
		schemaLine("u", 1, 1, `"int"`, false),
	).copy())
	if got := st.byID(1, ""); got.schema != `"int"` || len(st.subjects) != 2 || st.skipped != 1 {
		t.Errorf("id 1 is %s, subjects %d", got.schema, len(st.subjects))
	}
}

// TestHighWaterMark: an id that was given out is not given out again, although
// nothing in the topic has it any more.
func TestHighWaterMark(t *testing.T) {
	topic := newMemTopic()
	a := openMem(t, topic)
	for i, size := range []string{"1", "2", "3"} {
		if id, _ := a.add("s"+size, `{"type":"fixed","name":"F","size":`+size+`}`); id != i+1 {
			t.Fatalf("id %d", id)
		}
	}
	a.add(":.x:s", `"int"`)
	a.run([]step{
		{"DELETE", "/subjects/s3", "", `200`},
		{"DELETE", "/subjects/s3?permanent=true", "", `200`},
		{"DELETE", "/subjects/:.x:s/versions/1", "", `200`},
		{"DELETE", "/subjects/:.x:s/versions/1?permanent=true", "", `200`},
	})
	topic.compact()
	b := openMem(t, topic)
	if id, _ := b.add("s4", `"long"`); id != 4 {
		t.Errorf("id %d after a restart, want 4", id)
	}
	if id, _ := b.add(":.x:s", `"int"`); id != 2 {
		t.Errorf("id %d in the context, want 2", id)
	}

	// Another registry's NOOP wipes the mark; who still knows it saves it again
	// with the next write, whatever that is about.
	b.run([]step{{"DELETE", "/subjects/s4", "", `200`}, {"DELETE", "/subjects/s4?permanent=true", "", `200`}})
	topic.add(line(`{"keytype":"NOOP","magic":0}`, ""))
	b.want(b.do("PUT", "/config/x", `{"compatibility":"FULL"}`), "200")
	topic.compact()
	c := openMem(t, topic)
	if id, _ := c.add("s5", `"float"`); id != 5 {
		t.Errorf("id %d after the mark was wiped, want 5", id)
	}
}

// TestReplaySurvivesCompaction does random things to a registry and checks that
// reading the topic again, whole or compacted at any time, gives the same state.
func TestReplaySurvivesCompaction(t *testing.T) {
	subjects := []string{"a", "b", ":.x:a"}
	schemas := []string{`"int"`, `"long"`, v1text, v2text, wrong}
	rapid.Check(t, func(rt *rapid.T) {
		topic := newMemTopic()
		a := openMem(t, topic, func(c *Config) { c.Compatibility = "NONE" })
		defer func() { _ = a.Close() }()
		given := map[string]string{} // context and id → schema
		for range rapid.IntRange(1, 40).Draw(rt, "steps") {
			subject := rapid.SampledFrom(subjects).Draw(rt, "subject")
			var method, path, body string
			switch rapid.IntRange(0, 8).Draw(rt, "op") {
			case 0, 1, 2:
				method, path, body = "POST", "/subjects/"+subject+"/versions", schemaBody(rapid.SampledFrom(schemas).Draw(rt, "schema"))
			case 3:
				method, path, body = "POST", "/subjects/"+subject+"/versions", schemaBody(`{"type":"array","items":"n.R"}`, `"references":[{"name":"n.R","subject":"a","version":-1}]`)
			case 4:
				method, path = "DELETE", "/subjects/"+subject+rapid.SampledFrom([]string{"", "?permanent=true"}).Draw(rt, "permanent")
			case 5:
				method, path = "DELETE", "/subjects/"+subject+"/versions/"+rapid.SampledFrom([]string{"1", "2", "1?permanent=true", "2?permanent=true"}).Draw(rt, "version")
			case 6:
				method, path, body = rapid.SampledFrom([]string{"PUT", "DELETE"}).Draw(rt, "method"), "/config/"+subject, `{"compatibility":"FULL"}`
			case 7:
				method, path, body = "PUT", "/mode/"+subject, rapid.SampledFrom([]string{`{"mode":"READWRITE"}`, `{"mode":"IMPORT"}`}).Draw(rt, "mode")
			case 8:
				topic.compact()
				continue
			}
			got := a.do(method, path, body)
			if got.status >= 500 {
				rt.Fatalf("%s %s: %d %s", method, path, got.status, got.body)
			}
		}
		var want string
		var maxIDs map[string]int
		a.store.view(func(st *state) {
			want, maxIDs = dump(st), st.maxIDs()
			for context, space := range st.contexts {
				for id, h := range space.byID {
					k := fmt.Sprint(context, id)
					if old, ok := given[k]; ok && old != h.text {
						rt.Fatalf("id %s was %s and is %s", k, old, h.text)
					}
					given[k] = h.text
				}
			}
		})
		for range 2 {
			again := replay(topic.copy())
			if got := dump(again); got != want {
				rt.Fatalf("read again:\n%s\nwas:\n%s", got, want)
			}
			for context, id := range maxIDs {
				if got := again.space(context).max; got != id {
					rt.Fatalf("highest id in %s: %d, was %d", context, got, id)
				}
			}
			topic.compact()
		}
	})
}

// TestRecreatedTopic: a topic that was deleted and made again is read from its
// start, and ids go on.
func TestRecreatedTopic(t *testing.T) {
	topic := newMemTopic()
	log := &memLog{topic: topic}
	a := openLog(t, log)
	a.add("s", `"int"`)
	a.add("s2", `"long"`)
	topic.mu.Lock()
	topic.records, topic.next = nil, 0
	topic.mu.Unlock()
	// The client goes back to the start of the topic by itself.
	fresh := schemaLine("n", 1, 1, `"double"`, false)
	a.store.mu.Lock()
	fresh.offset = 0
	a.store.startOver(0)
	a.store.state.apply(fresh)
	a.store.mu.Unlock()
	if got := a.do("GET", "/subjects", "").body; got != `["n"]` {
		t.Errorf("subjects %s", got)
	}
	a.store.view(func(st *state) {
		if st.space(defaultContext).max != 2 {
			t.Errorf("highest id %d", st.space(defaultContext).max)
		}
	})
}

// TestManyVersions checks order past nine versions and one text in memory for
// subjects that share it.
func TestManyVersions(t *testing.T) {
	a := openMem(t, newMemTopic())
	var fields []string
	for i := range 12 {
		fields = append(fields, optional(fmt.Sprintf("f%d", i)))
		a.add("s", rec(fields...))
	}
	if got := a.do("GET", "/subjects/s/versions", "").body; got != "[1,2,3,4,5,6,7,8,9,10,11,12]" {
		t.Errorf("versions %s", got)
	}
	if got := a.do("GET", "/subjects/s/versions/latest", "").body; !strings.Contains(got, `"version":12`) {
		t.Errorf("latest %s", got)
	}
}
