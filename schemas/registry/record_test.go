package registry

import (
	"encoding/json"
	"testing"
)

// TestKeyBytes pins the bytes of keys: compaction compares them, and other
// registries write the same.
func TestKeyBytes(t *testing.T) {
	tests := []struct {
		key  key
		want string
	}{
		{schemaKey("orders-value", 1), `{"keytype":"SCHEMA","subject":"orders-value","version":1,"magic":1}`},
		{schemaKey("<a>&\"b\\\u2028\x01ä", 12), "{\"keytype\":\"SCHEMA\",\"subject\":\"<a>&\\\"b\\\\\u2028\\u0001ä\",\"version\":12,\"magic\":1}"},
		{schemaKey("\b\t\n\f\r\x1f", 1), `{"keytype":"SCHEMA","subject":"\b\t\n\f\r\u001F","version":1,"magic":1}`},
		{settingsKey("s"), `{"keytype":"CONFIG","subject":"s","magic":0}`},
		{settingsKey(""), `{"keytype":"CONFIG","magic":0}`},
		{modeKey("s"), `{"keytype":"MODE","subject":"s","magic":0}`},
		{modeKey(""), `{"keytype":"MODE","magic":0}`},
		{deleteSubjectRecord("s", 3).key, `{"keytype":"DELETE_SUBJECT","subject":"s","magic":0}`},
		{clearSubjectRecord("s").key, `{"keytype":"CLEAR_SUBJECT","subject":"s","magic":0}`},
		{noopRecord(nil).key, `{"keytype":"NOOP","magic":0}`},
		{contextKey(".team"), `{"keytype":"CONTEXT","tenant":"default","context":".team","magic":0}`},
	}
	for _, tt := range tests {
		if got := string(tt.key.bytes()); got != tt.want {
			t.Errorf("got  %s\nwant %s", got, tt.want)
		}
		back, err := parseKey(tt.key.bytes())
		if err != nil || back != tt.key {
			t.Errorf("%s reads as %+v, %v", tt.want, back, err)
		}
		if !json.Valid(tt.key.bytes()) {
			t.Errorf("not JSON: %s", tt.key.bytes())
		}
	}
}

// TestValueBytes pins the values.
func TestValueBytes(t *testing.T) {
	e := &entry{subject: "s", version: 2, id: 7, schemaType: typeAvro, schema: `"<&>"`, references: []Reference{{"n.R", "base", 1}}}
	e.hash = hashSchema(e.schema, e.references, nil, nil)
	tests := []struct {
		got  record
		want string
	}{
		{schemaRecord(e), `{"subject":"s","version":2,"id":7,"md5":"epPhhSVY1PwVKv5CjE/fvQ==","schemaType":"AVRO","references":[{"name":"n.R","subject":"base","version":1}],"schema":"\"<&>\"","deleted":false}`},
		{settingsRecord("s", Settings{CompatibilityLevel: "FULL"}), `{"subject":"s","compatibilityLevel":"FULL"}`},
		{settingsRecord("", Settings{CompatibilityLevel: "NONE"}), `{"compatibilityLevel":"NONE"}`},
		{modeRecord("s", "IMPORT"), `{"subject":"s","mode":"IMPORT"}`},
		{deleteSubjectRecord("s", 3), `{"subject":"s","version":3}`},
		{clearSubjectRecord("s"), `{"subject":"s"}`},
		{contextRecord(".team"), `{"tenant":"default","context":".team"}`},
		{noopRecord(map[string]int{".": 5, ".x": 1}), `{"maxIds":{".":5,".x":1}}`},
		{noopRecord(nil), ``},
	}
	for _, tt := range tests {
		if string(tt.got.value) != tt.want {
			t.Errorf("got  %s\nwant %s", tt.got.value, tt.want)
		}
	}
}

// TestForeignKeys lists key forms that other registries have written, and what
// is none of a registry's.
func TestForeignKeys(t *testing.T) {
	tests := []struct {
		in   string
		want key
		bad  bool
	}{
		{in: `{"magic":1,"version":3,"subject":"s","keytype":"SCHEMA"}`, want: schemaKey("s", 3)},
		{in: `{"keytype":"SCHEMA","subject":"s","version":3,"magic":0}`, want: schemaKey("s", 3)},
		{in: `{"keytype":"CONFIG","subject":null,"magic":0}`, want: settingsKey("")},
		{in: `{"subject":"s","magic":0,"keytype":"CONFIG"}`, want: settingsKey("s")},
		{in: `{"keytype":"SCHEMA","subject":"s","magic":1}`, bad: true},
		{in: `{"keytype":"SCHEMA","version":1,"magic":1}`, bad: true},
		{in: `{"keytype":"SOMETHING_NEW","magic":0}`, bad: true},
		{in: `{}`, bad: true},
		{in: `not json`, bad: true},
		{in: ``, bad: true},
	}
	for _, tt := range tests {
		got, err := parseKey([]byte(tt.in))
		if (err != nil) != tt.bad || err == nil && got != tt.want {
			t.Errorf("%s: %+v, %v", tt.in, got, err)
		}
	}
}
