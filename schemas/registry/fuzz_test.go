package registry

import (
	"encoding/json"
	"net/url"
	"testing"
)

// FuzzBody sends any body to every endpoint that takes one: the answer is JSON
// with a proper status, and the registry still answers.
func FuzzBody(f *testing.F) {
	for _, seed := range []string{
		schemaBody(v1text), schemaBody(`["null","int"]`, `"references":[{"name":"a","subject":"b","version":1}]`),
		schemaBody(`"int"`, `"metadata":{"properties":{"a":"b"},"tags":{"x":["y"]}}`, `"ruleSet":{"domainRules":[{"name":"r","type":"CEL"}]}`),
		`{"compatibility":"FULL","defaultMetadata":{},"overrideRuleSet":null}`, `{"mode":"IMPORT"}`, `{"schema":null,"id":-1,"version":0}`,
		`{"schema":"{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"r\",\"type\":\"R\"}]}"}`, `{`, `[]`, `null`, ``, `{"alias":"s"}`,
	} {
		f.Add("s", seed)
	}
	shared := openMem(f, newMemTopic())
	f.Fuzz(func(t *testing.T, subject, body string) {
		a := &api{t: t, Server: shared.Server, handler: shared.handler}
		path := url.PathEscape(subject)
		for _, target := range []string{"POST /subjects/" + path + "/versions", "POST /subjects/" + path, "POST /compatibility/subjects/" + path + "/versions/latest?verbose=true",
			"POST /subjects/s/versions?normalize=true", "PUT /config/" + path, "PUT /mode/" + path} {
			method, path := target[:4], target[5:]
			if method == "PUT " {
				method, path = "PUT", target[4:]
			}
			if subject == "" || subject == "." || subject == ".." {
				return // no such paths
			}
			got := a.do(method, path, body)
			switch got.status {
			case 200, 400, 404, 409, 422:
			default:
				t.Fatalf("%s: %d %s", target, got.status, got.body)
			}
			if !json.Valid([]byte(got.body)) {
				t.Fatalf("%s: not JSON: %s", target, got.body)
			}
		}
		if got := a.do("GET", "/subjects", ""); got.status != 200 {
			t.Fatalf("afterwards: %d %s", got.status, got.body)
		}
	})
}

// FuzzTopic applies any record: a topic that others write to must not bring
// the registry down.
func FuzzTopic(f *testing.F) {
	for _, r := range []logRecord{
		schemaLine("s", 1, 1, `"int"`, false), canonical(settingsRecord("s", Settings{CompatibilityLevel: "FULL"})), canonical(modeRecord("", "IMPORT")),
		canonical(deleteSubjectRecord("s", 3)), canonical(clearSubjectRecord("s")), canonical(contextRecord(".x")), canonical(noopRecord(map[string]int{".": 1})),
		line(`{"keytype":"SCHEMA","subject":"s","version":1,"magic":0}`, `{"id":-1,"references":[{}],"metadata":null}`),
	} {
		f.Add(r.key, r.value, int64(0), true)
	}
	f.Fuzz(func(t *testing.T, key, value []byte, base int64, tombstone bool) {
		st := newState("test", quietLogger())
		st.apply(schemaLine("s", 1, 1, `"int"`, false))
		if tombstone {
			value = nil
		}
		for offset := range int64(3) {
			st.apply(logRecord{offset: offset + 1, key: key, value: value, writer: "w", base: base})
		}
		_ = st.repairs()
		_ = dump(st)
		if st.offset != 4 {
			t.Fatalf("offset %d", st.offset)
		}
	})
}

// TestHostileSchemas answers schemas built to be costly.
func TestHostileSchemas(t *testing.T) {
	a := openMem(t, newMemTopic())
	wide := func(prefix string, n int) string {
		b := []byte{'['}
		for i := range n {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(b, `{"type":"record","name":"`+prefix+string(rune('A'+i%26))+string(rune('A'+i/26%26))+string(rune('A'+i/676))+`","fields":[]}`...)
		}
		return string(append(b, ']'))
	}
	a.add("wide", wide("a", 2000))
	a.want(a.do("POST", "/subjects/wide/versions", schemaBody(wide("b", 2000))), "409")
}
