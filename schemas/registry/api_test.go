package registry

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
)

// step is a request and its answer as "status json"; members of the answer
// that are not listed may be anything, one listed as null must be absent.
type step struct{ method, path, body, want string }

func (a *api) run(steps []step) {
	a.t.Helper()
	for i, s := range steps {
		got := a.do(s.method, s.path, s.body)
		func() {
			defer func() {
				if a.t.Failed() {
					a.t.Logf("at step %d: %s %s %s", i, s.method, s.path, s.body)
				}
			}()
			a.want(got, s.want)
		}()
	}
}

const (
	v1text = `{"type":"record","name":"R","namespace":"n","fields":[{"name":"a","type":"int"}]}`
	v2text = `{"type":"record","name":"R","namespace":"n","fields":[{"name":"a","type":"int"},{"name":"b","type":"int","default":0}]}`
	wrong  = `{"type":"record","name":"R","namespace":"n","fields":[{"name":"a","type":"string"}]}`
)

// TestAPI tells what each endpoint answers, as stories of requests.
func TestAPI(t *testing.T) {
	v1, v2, bad := schemaBody(v1text), schemaBody(v2text), schemaBody(wrong)
	stories := []struct {
		name  string
		steps []step
	}{
		{"an empty registry", []step{
			{"GET", "/", "", `200 {}`},
			{"POST", "/", "", `200 {}`},
			{"GET", "/subjects", "", `200 []`},
			{"GET", "/schemas", "", `200 []`},
			{"GET", "/contexts", "", `200 ["."]`},
			{"GET", "/schemas/types", "", `200 ["AVRO"]`},
			{"GET", "/config", "", `200 {"compatibilityLevel":"BACKWARD"}`},
			{"GET", "/mode", "", `200 {"mode":"READWRITE"}`},
			{"GET", "/v1/metadata/version", "", `200 {}`},
			{"GET", "/v1/metadata/id", "", `200 {"scope":{"clusters":{}}}`},
			{"GET", "/subjects/s/versions", "", `404 {"error_code":40401}`},
			{"GET", "/subjects/s/versions/1", "", `404 {"error_code":40401}`},
			{"GET", "/schemas/ids/1", "", `404 {"error_code":40403,"message":"Schema 1 not found"}`},
			{"GET", "/schemas/ids/1/schema", "", `404 {"error_code":40403}`},
			{"GET", "/schemas/ids/1/subjects", "", `404 {"error_code":40403}`},
			{"GET", "/schemas/ids/1/versions", "", `404 {"error_code":40403}`},
			{"GET", "/schemas/ids/one", "", `404 {"error_code":404}`},
			{"DELETE", "/subjects/s", "", `404 {"error_code":40401}`},
			{"DELETE", "/subjects/s/versions/1", "", `404 {"error_code":40401}`},
			{"GET", "/config/s", "", `404 {"error_code":40408}`},
			{"DELETE", "/config/s", "", `404 {"error_code":40401}`},
			{"GET", "/mode/s", "", `404 {"error_code":40409}`},
			{"DELETE", "/mode/s", "", `404 {"error_code":40401}`},
		}},
		{"register, look up, read", []step{
			{"POST", "/subjects/s/versions", v1, `200 {"id":1,"version":1,"schemaType":"AVRO","deleted":false,"subject":null}`},
			{"POST", "/subjects/s/versions", v2, `200 {"id":2,"version":2}`},
			{"POST", "/subjects/s/versions", v1, `200 {"id":1,"version":1}`},
			{"POST", "/subjects/other/versions", v2, `200 {"id":2,"version":1}`},
			{"GET", "/subjects", "", `200 ["other","s"]`},
			{"GET", "/subjects/s/versions", "", `200 [1,2]`},
			{"GET", "/subjects/s/versions/", "", `200 [1,2]`},
			{"GET", "/subjects/s/versions/1", "", `200 {"subject":"s","version":1,"id":1,"schemaType":"AVRO"}`},
			{"GET", "/subjects/s/versions/latest", "", `200 {"version":2}`},
			{"GET", "/subjects/s/versions/LATEST", "", `200 {"version":2}`},
			{"GET", "/subjects/s/versions/-1", "", `200 {"version":2}`},
			{"GET", "/subjects/s/versions/3", "", `404 {"error_code":40402,"message":"Version 3 not found."}`},
			{"GET", "/subjects/s/versions/0", "", `422 {"error_code":42202}`},
			{"GET", "/subjects/s/versions/-2", "", `422 {"error_code":42202}`},
			{"GET", "/subjects/s/versions/first", "", `422 {"error_code":42202}`},
			{"GET", "/subjects/s/versions/99999999999", "", `422 {"error_code":42202}`},
			{"POST", "/subjects/s", v1, `200 {"subject":"s","version":1,"id":1}`},
			{"POST", "/subjects/other", v1, `404 {"error_code":40403,"message":"Schema not found"}`},
			{"POST", "/subjects/none", v1, `404 {"error_code":40401,"message":"Subject 'none' not found."}`},
			{"POST", "/subjects/none", schemaBody(""), `404 {"error_code":40401}`},
			{"GET", "/schemas/ids/2", "", `200 {"subject":null,"version":null,"schemaType":"AVRO"}`},
			{"GET", "/schemas/ids/2?subject=other", "", `200 {"subject":"other","version":1}`},
			{"GET", "/schemas/ids/1?subject=other", "", `200 {"subject":"s"}`},
			{"GET", "/schemas/ids/1?fetchMaxId=true", "", `200 {"maxId":2}`},
			{"GET", "/schemas/ids/2/subjects", "", `200 ["other","s"]`},
			{"GET", "/schemas/ids/2/versions", "", `200 [{"subject":"other","version":1},{"subject":"s","version":2}]`},
			{"GET", "/schemas", "", `200 [{"subject":"other"},{"subject":"s","version":1},{"subject":"s","version":2}]`},
			{"GET", "/schemas?latestOnly=true", "", `200 [{"subject":"other","version":1},{"subject":"s","version":2}]`},
			{"GET", "/schemas?subjectPrefix=o", "", `200 [{"subject":"other"}]`},
			{"GET", "/schemas?offset=1&limit=1", "", `200 [{"subject":"s","version":1}]`},
			{"GET", "/subjects?subjectPrefix=s", "", `200 ["s"]`},
			{"GET", "/subjects?offset=1", "", `200 ["s"]`},
			{"GET", "/subjects?limit=1", "", `200 ["other"]`},
			{"GET", "/subjects?offset=9", "", `200 []`},
			{"GET", "/subjects?limit=x", "", `404 {"error_code":404}`},
			{"GET", "/subjects/s/versions?offset=1&limit=5", "", `200 [2]`},
		}},
		{"what is not a schema", []step{
			{"POST", "/subjects/s/versions", schemaBody(""), `422 {"error_code":42201,"message":"Empty schema"}`},
			{"POST", "/subjects/s/versions", `{}`, `422 {"error_code":42201}`},
			{"POST", "/subjects/s/versions", schemaBody("{"), `422 {"error_code":42201}`},
			{"POST", "/subjects/s/versions", schemaBody(`{"type":"recod"}`), `422 {"error_code":42201}`},
			{"POST", "/subjects/s/versions", schemaBody(rec(`{"name":"a","type":"int","default":"x"}`)), `422 {"error_code":42201}`},
			{"POST", "/subjects/s/versions", schemaBody(rec(`{"name":"a-b","type":"int"}`)), `422 {"error_code":42201}`},
			{"POST", "/subjects/s/versions", `{"schema":"{}","schemaType":"JSON"}`, `422 {"error_code":42201}`},
			{"POST", "/subjects/s/versions", `{"schema":"syntax","schemaType":"PROTOBUF"}`, `422 {"error_code":42201}`},
			{"POST", "/subjects/s/versions", `{"schema":"\"int\"","schemaType":"AVRO","references":null,"metadata":null,"ruleSet":null}`, `200 {"id":1}`},
			{"POST", "/subjects/s/versions", `{"schema":"\"int\"","shema":1}`, `422 {"error_code":422,"message":"Unrecognized field: shema"}`},
			{"POST", "/subjects/s/versions", `{"Schema":"\"int\""}`, `422 {"error_code":422}`},
			{"POST", "/subjects/s/versions", `{"schema":1}`, `400 {"error_code":400}`},
			{"POST", "/subjects/s/versions", `[]`, `400 {"error_code":400}`},
			{"POST", "/subjects/s/versions", `{`, `400 {"error_code":400}`},
			{"POST", "/subjects/s/versions", `null`, `422 {"error_code":422}`},
			{"POST", "/subjects/s/versions", "", `422 {"error_code":422}`},
			{"POST", "/subjects/s%07/versions", v1, `422 {"error_code":42208}`},
			{"POST", "/subjects/__GLOBAL/versions", v1, `422 {"error_code":42208}`},
			{"POST", "/subjects/s/versions", schemaBody(`"int"`, `"schemaTagsToAdd":[{}]`), `422 {"error_code":42201}`},
		}},
		{"compatibility is enforced", []step{
			{"POST", "/compatibility/subjects/s/versions/latest", bad, `200 {"is_compatible":true,"messages":null}`},
			{"POST", "/compatibility/subjects/s/versions/1", bad, `404 {"error_code":40402}`},
			{"POST", "/compatibility/subjects/s/versions", bad, `200 {"is_compatible":true}`},
			{"POST", "/subjects/s/versions", v1, `200 {"id":1}`},
			{"POST", "/subjects/s/versions", bad, `409 {"error_code":409}`},
			{"POST", "/compatibility/subjects/s/versions/latest", bad, `200 {"is_compatible":false,"messages":null}`},
			{"POST", "/compatibility/subjects/s/versions/latest", v2, `200 {"is_compatible":true}`},
			{"POST", "/compatibility/subjects/s/versions/latest?verbose=true", v2, `200 {"is_compatible":true,"messages":[]}`},
			{"POST", "/compatibility/subjects/s/versions/", bad, `200 {"is_compatible":false}`},
			{"POST", "/compatibility/subjects/s/versions/oldest", bad, `422 {"error_code":42202}`},
			{"POST", "/compatibility/subjects/s/versions/latest", schemaBody("x"), `422 {"error_code":42201}`},
			{"POST", "/compatibility/subjects/s/versions/latest?verbose=true", schemaBody("\"x\""), `200 {"is_compatible":false,"messages":["Invalid schema of type AVRO, details: undefined name: \"x\""]}`},
			{"PUT", "/config/s", `{"compatibility":"NONE"}`, `200 {"compatibility":"NONE"}`},
			{"POST", "/subjects/s/versions", bad, `200 {"id":2,"version":2}`},
			{"PUT", "/config/s", `{"compatibility":"full_transitive"}`, `200 {"compatibility":"FULL_TRANSITIVE"}`},
			{"POST", "/subjects/s/versions", v2, `409 {"error_code":409}`},
			{"POST", "/compatibility/subjects/s/versions/1", v2, `200 {"is_compatible":true}`},
		}},
		{"levels by scope", []step{
			{"PUT", "/config", `{"compatibility":"FULL"}`, `200 {"compatibility":"FULL","compatibilityLevel":null}`},
			{"GET", "/config", "", `200 {"compatibilityLevel":"FULL"}`},
			{"GET", "/config/s?defaultToGlobal=true", "", `200 {"compatibilityLevel":"FULL"}`},
			{"GET", "/config/s", "", `404 {"error_code":40408}`},
			{"PUT", "/config/s", `{"compatibility":"FORWARD"}`, `200 {"compatibility":"FORWARD"}`},
			{"GET", "/config/s", "", `200 {"compatibilityLevel":"FORWARD"}`},
			{"PUT", "/config/s", `{"normalize":true}`, `200 {"compatibility":"FORWARD","normalize":true}`},
			{"PUT", "/config/s", `{"compatibility":null}`, `200 {"compatibility":null,"normalize":true}`},
			{"GET", "/config/s", "", `200 {"compatibilityLevel":"FULL","normalize":true}`},
			{"DELETE", "/config/s", "", `200 {"compatibilityLevel":"FULL","normalize":true}`},
			{"GET", "/config/s", "", `404 {"error_code":40408}`},
			{"DELETE", "/config", "", `200 {"compatibilityLevel":"FULL"}`},
			{"GET", "/config", "", `200 {"compatibilityLevel":"BACKWARD"}`},
			{"DELETE", "/config", "", `200 {"compatibilityLevel":"BACKWARD"}`},
			{"PUT", "/config", `{"compatibility":"SIDEWAYS"}`, `422 {"error_code":42203}`},
			{"PUT", "/config/s", `{"compatibilityPolicy":"LOGICAL"}`, `422 {"error_code":42203}`},
			{"PUT", "/config/s", `{"level":"FULL"}`, `422 {"error_code":422}`},
			{"PUT", "/config/s", `{"normalize":"yes"}`, `422 {"error_code":422}`},
			{"PUT", "/config/:.__GLOBAL:", `{"compatibility":"NONE"}`, `200 {"compatibility":"NONE"}`},
			{"GET", "/config/s?defaultToGlobal=true", "", `200 {"compatibilityLevel":"NONE"}`},
		}},
		{"modes", []step{
			{"POST", "/subjects/s/versions", v1, `200 {"id":1}`},
			{"PUT", "/mode/s", `{"mode":"readonly"}`, `200 {"mode":"READONLY"}`},
			{"GET", "/mode/s", "", `200 {"mode":"READONLY"}`},
			{"GET", "/mode/t?defaultToGlobal=true", "", `200 {"mode":"READWRITE"}`},
			{"POST", "/subjects/s/versions", v2, `422 {"error_code":42205,"message":"Subject s in context . is in read-only mode"}`},
			{"POST", "/subjects/s/versions", v1, `200 {"id":1}`},
			{"DELETE", "/subjects/s", "", `422 {"error_code":42205}`},
			{"DELETE", "/subjects/s/versions/1", "", `422 {"error_code":42205}`},
			{"PUT", "/config/s", `{"compatibility":"NONE"}`, `422 {"error_code":42205}`},
			{"DELETE", "/mode/s", "", `200 {"mode":"READONLY"}`},
			{"POST", "/subjects/s/versions", v2, `200 {"id":2}`},
			{"PUT", "/mode", `{"mode":"READONLY"}`, `200 {"mode":"READONLY"}`},
			{"PUT", "/mode/s", `{"mode":"READWRITE"}`, `200 {"mode":"READWRITE"}`},
			{"POST", "/subjects/t/versions", v2, `422 {"error_code":42205}`},
			{"DELETE", "/subjects/s/versions/2", "", `200 2`},
			{"DELETE", "/mode", "", `200 {"mode":"READONLY"}`},
			{"PUT", "/mode", `{"mode":"SLOW"}`, `422 {"error_code":42204}`},
			{"PUT", "/mode", `{}`, `422 {"error_code":42204}`},
			{"PUT", "/mode/s", `{"mode":"FORWARD"}`, `422 {"error_code":42204}`},
		}},
		{"import", []step{
			{"POST", "/subjects/s/versions", schemaBody(v1text, `"id":7`), `422 {"error_code":42205}`},
			{"POST", "/subjects/s/versions", v1, `200 {"id":1}`},
			{"PUT", "/mode/s", `{"mode":"IMPORT"}`, `422 {"error_code":42205,"message":"Cannot import since found existing subjects"}`},
			{"PUT", "/mode/i", `{"mode":"IMPORT"}`, `200 {"mode":"IMPORT"}`},
			{"POST", "/subjects/i/versions", v2, `422 {"error_code":42205}`},
			{"POST", "/subjects/i/versions", schemaBody(v2text, `"id":40`, `"version":3`), `200 {"id":40,"version":3}`},
			{"POST", "/subjects/i/versions", schemaBody(wrong, `"id":40`, `"version":4`), `422 {"error_code":42205}`},
			{"POST", "/subjects/i/versions", schemaBody(wrong, `"id":41`, `"version":1`), `200 {"id":41,"version":1}`},
			{"GET", "/subjects/i/versions", "", `200 [1,3]`},
			{"DELETE", "/mode/i", "", `200 {"mode":"IMPORT"}`},
			{"POST", "/subjects/new/versions", schemaBody(`"long"`), `200 {"id":42}`},
			{"DELETE", "/subjects/new", "", `200 [1]`},
			{"PUT", "/mode/new", `{"mode":"IMPORT"}`, `200 {"mode":"IMPORT"}`},
			{"GET", "/subjects?deleted=true&subjectPrefix=new", "", `200 []`},
			{"PUT", "/mode/s?force=true", `{"mode":"IMPORT"}`, `200 {"mode":"IMPORT"}`},
			{"PUT", "/mode", `{"mode":"IMPORT"}`, `422 {"error_code":42205}`},
		}},
		{"soft and permanent deletion of versions", []step{
			{"POST", "/subjects/s/versions", v1, `200 {"id":1,"version":1}`},
			{"POST", "/subjects/s/versions", v2, `200 {"id":2,"version":2}`},
			{"DELETE", "/subjects/s/versions/3", "", `404 {"error_code":40402}`},
			{"DELETE", "/subjects/s/versions/2?permanent=true", "", `404 {"error_code":40407}`},
			{"DELETE", "/subjects/s/versions/latest", "", `200 2`},
			{"DELETE", "/subjects/s/versions/2", "", `404 {"error_code":40406}`},
			{"GET", "/subjects/s/versions", "", `200 [1]`},
			{"GET", "/subjects/s/versions?deleted=true", "", `200 [1,2]`},
			{"GET", "/subjects/s/versions?deletedOnly=true", "", `200 [2]`},
			{"GET", "/subjects/s/versions/2", "", `404 {"error_code":40402}`},
			{"GET", "/subjects/s/versions/2?deleted=true", "", `200 {"id":2,"deleted":true}`},
			{"GET", "/schemas/ids/2", "", `200 {}`},
			{"GET", "/schemas/ids/2/versions", "", `200 []`},
			{"GET", "/schemas/ids/2/versions?deleted=true", "", `200 [{"subject":"s","version":2}]`},
			{"POST", "/subjects/s", v2, `404 {"error_code":40403}`},
			{"POST", "/subjects/s?deleted=true", v2, `200 {"version":2}`},
			// Registered again it keeps its id, gets a new version, and the
			// old one makes room.
			{"POST", "/subjects/s/versions", v2, `200 {"id":2,"version":3}`},
			{"GET", "/subjects/s/versions?deleted=true", "", `200 [1,3]`},
			{"DELETE", "/subjects/s/versions/3", "", `200 3`},
			{"DELETE", "/subjects/s/versions/3?permanent=true", "", `200 3`},
			{"GET", "/schemas/ids/2", "", `404 {"error_code":40403}`},
			// The id is gone for good.
			{"POST", "/subjects/s/versions", v2, `200 {"id":3,"version":2}`},
		}},
		{"soft and permanent deletion of subjects", []step{
			{"POST", "/subjects/s/versions", v1, `200 {"id":1}`},
			{"POST", "/subjects/s/versions", v2, `200 {"id":2}`},
			{"PUT", "/config/s", `{"compatibility":"FULL"}`, `200`},
			{"PUT", "/mode/s", `{"mode":"READWRITE"}`, `200`},
			{"DELETE", "/subjects/s?permanent=true", "", `404 {"error_code":40405}`},
			{"DELETE", "/subjects/s", "", `200 [1,2]`},
			{"DELETE", "/subjects/s", "", `404 {"error_code":40404}`},
			{"GET", "/subjects", "", `200 []`},
			{"GET", "/subjects?deleted=true", "", `200 ["s"]`},
			{"GET", "/subjects?deletedOnly=true", "", `200 ["s"]`},
			{"GET", "/subjects/s/versions", "", `404 {"error_code":40401}`},
			{"GET", "/subjects/s/versions/latest", "", `404 {"error_code":40401}`},
			{"GET", "/config/s", "", `200 {"compatibilityLevel":"FULL"}`},
			// Deleted versions are not compared with.
			{"POST", "/subjects/s/versions", bad, `200 {"id":3,"version":3}`},
			{"DELETE", "/subjects/s", "", `200 [3]`},
			{"DELETE", "/subjects/s?permanent=true", "", `200 [1,2,3]`},
			{"GET", "/subjects?deleted=true", "", `200 []`},
			{"GET", "/config/s", "", `404 {"error_code":40408}`},
			{"GET", "/mode/s", "", `404 {"error_code":40409}`},
			{"DELETE", "/subjects/s?permanent=true", "", `404 {"error_code":40401}`},
			{"POST", "/subjects/s/versions", v1, `200 {"id":4,"version":1}`},
		}},
		{"references", []step{
			{"POST", "/subjects/base/versions", schemaBody(v1text), `200 {"id":1}`},
			{"POST", "/subjects/use/versions", schemaBody(`{"type":"array","items":"n.R"}`), `422 {"error_code":42201}`},
			{"POST", "/subjects/use/versions", schemaBody(`{"type":"array","items":"n.R"}`, `"references":[{"name":"n.R","subject":"base","version":9}]`), `422 {"error_code":42201}`},
			{"POST", "/subjects/use/versions", schemaBody(`{"type":"array","items":"n.R"}`, `"references":[{"name":"n.R","subject":"base","version":0}]`), `422 {"error_code":42201}`},
			{"POST", "/subjects/use/versions", schemaBody(`{"type":"array","items":"n.R"}`, `"references":[{"name":"n.R","subject":"base","version":1}]`),
				`200 {"id":2,"schema":"{\"type\":\"array\",\"items\":\"n.R\"}","references":[{"name":"n.R","subject":"base","version":1}]}`},
			{"POST", "/subjects/use/versions", schemaBody(`{"type":"array","items":"n.R"}`, `"references":[{"name":"n.R","subject":"base","version":-1}]`), `200 {"id":2,"references":[{"version":1}]}`},
			// With the references written out it is the same schema.
			{"POST", "/subjects/use", schemaBody(`{"type":"array","items":` + v1text + `}`), `200 {"id":2,"version":1}`},
			{"POST", "/subjects/use/versions", schemaBody(`{"type":"array","items":` + v1text + `}`), `200 {"id":2,"version":1}`},
			{"GET", "/subjects/use/versions/1?format=resolved", "", `200 {"schema":` + string(marshal(`{"type":"array","items":`+v1text+`}`)) + `}`},
			{"GET", "/subjects/base/versions/1/referencedby", "", `200 [2]`},
			{"GET", "/subjects/use/versions/1/referencedby", "", `200 []`},
			{"GET", "/subjects/none/versions/1/referencedby", "", `404 {"error_code":40401}`},
			{"DELETE", "/subjects/base", "", `422 {"error_code":42206}`},
			{"DELETE", "/subjects/base/versions/1", "", `422 {"error_code":42206,"message":"One or more references exist to the schema {magic=1,keytype=SCHEMA,subject=base,version=1}."}`},
			{"DELETE", "/subjects/use", "", `200 [1]`},
			{"GET", "/subjects/base/versions/1/referencedby", "", `200 []`},
			{"GET", "/subjects/base/versions/1/referencedby?deleted=true", "", `200 [2]`},
			{"DELETE", "/subjects/base/versions/1", "", `200 1`},
			{"DELETE", "/subjects/base/versions/1?permanent=true", "", `422 {"error_code":42206}`},
			{"DELETE", "/subjects/use?permanent=true", "", `200 [1]`},
			{"DELETE", "/subjects/base?permanent=true", "", `200 [1]`},
		}},
		{"contexts", []step{
			{"POST", "/subjects/:.team:s/versions", v1, `200 {"id":1,"version":1}`},
			{"POST", "/subjects/s/versions", v2, `200 {"id":1,"version":1}`},
			{"GET", "/contexts", "", `200 [".",".team"]`},
			{"GET", "/subjects", "", `200 [":.team:s","s"]`},
			{"GET", "/subjects?subjectPrefix=", "", `200 ["s"]`},
			{"GET", "/subjects?subjectPrefix=:.team:", "", `200 [":.team:s"]`},
			{"GET", "/contexts/.team/subjects", "", `200 [":.team:s"]`},
			{"GET", "/contexts/:.team:/subjects/s/versions/1", "", `200 {"subject":":.team:s","id":1}`},
			{"GET", "/contexts/team/schemas/ids/1?subject=s", "", `200 {"subject":":.team:s"}`},
			{"POST", "/contexts/.team/subjects/only/versions", schemaBody(`"long"`), `200 {"id":2}`},
			{"GET", "/subjects/only/versions/1", "", `200 {"subject":":.team:only"}`},
			{"POST", "/subjects/only", schemaBody(`"long"`), `200 {"subject":":.team:only"}`},
			{"GET", "/schemas/ids/2", "", `404 {"error_code":40403}`},
			{"GET", "/schemas/ids/2?subject=only", "", `200 {"subject":":.team:only"}`},
			{"PUT", "/contexts/.team/config", `{"compatibility":"NONE"}`, `200`},
			{"GET", "/config/:.team:?defaultToGlobal=true", "", `200 {"compatibilityLevel":"NONE"}`},
			{"GET", "/config/:.team:s?defaultToGlobal=true", "", `200 {"compatibilityLevel":"NONE"}`},
			{"GET", "/config/s?defaultToGlobal=true", "", `200 {"compatibilityLevel":"BACKWARD"}`},
			{"GET", "/subjects/:.:s/versions", "", `200 [1]`},
			{"DELETE", "/contexts/.team", "", `422 {"error_code":42211}`},
			{"DELETE", "/contexts/.team/subjects/s", "", `200 [1]`},
			{"DELETE", "/contexts/.team/subjects/s?permanent=true", "", `200 [1]`},
			{"DELETE", "/contexts/.team/subjects/only", "", `200 [1]`},
			{"DELETE", "/contexts/.team/subjects/only?permanent=true", "", `200 [1]`},
			{"DELETE", "/contexts/.team", "", `204`},
			{"GET", "/contexts", "", `200 ["."]`},
			{"POST", "/subjects/:.team:s/versions", v1, `200 {"id":3}`},
		}},
		{"normalization", []step{
			{"POST", "/subjects/s/versions", schemaBody(`{"type":"record","name":"R","b":1,"a":2,"aliases":["z","y"],"fields":[]}`), `200 {"id":1}`},
			{"POST", "/subjects/s/versions", schemaBody(`{"type":"record","name":"R","a":2,"b":1,"aliases":["y","z"],"fields":[]}`), `200 {"id":2}`},
			{"POST", "/subjects/t/versions?normalize=true", schemaBody(`{"type":"record","name":"R","b":1,"a":2,"aliases":["z","y"],"fields":[]}`),
				`200 {"id":2,"schema":"{\"type\":\"record\",\"name\":\"R\",\"fields\":[],\"a\":2,\"b\":1,\"aliases\":[\"y\",\"z\"]}"}`},
			{"PUT", "/config/u", `{"normalize":true}`, `200`},
			{"POST", "/subjects/u/versions", schemaBody(`{"type":"record","name":"R","b":1,"aliases":["z","y"],"a":2,"fields":[]}`), `200 {"id":2}`},
		}},
		{"data contracts", []step{
			{"POST", "/subjects/s/versions", schemaBody(v1text, `"metadata":{"properties":{"owner":"a"},"tags":{"f":["PII","A"]}}`),
				`200 {"id":1,"metadata":{"properties":{"owner":"a"},"tags":{"f":["A","PII"]}}}`},
			{"POST", "/subjects/s/versions", schemaBody(v1text, `"metadata":{"properties":{"owner":"b"}}`), `200 {"id":2,"version":2}`},
			// A request without metadata means the latest's.
			{"POST", "/subjects/s/versions", v1, `200 {"id":2,"version":2}`},
			{"POST", "/subjects/s/versions", v2, `200 {"id":3,"metadata":{"properties":{"owner":"b"}}}`},
			{"GET", "/subjects/s/metadata?key=owner&value=a", "", `200 {"version":1}`},
			{"GET", "/subjects/s/metadata?key=owner&value=c", "", `404 {"error_code":40403}`},
			{"GET", "/subjects/s/metadata?key=owner", "", `422`},
			{"POST", "/subjects/s/versions", schemaBody(v1text, `"ruleSet":{"domainRules":[{"name":"r","kind":"CONDITION","mode":"WRITE","type":"CEL","expr":"true"}]}`), `200 {"id":4,"ruleSet":{"domainRules":[{"name":"r","disabled":false}]}}`},
			{"GET", "/schemas?ruleType=CEL", "", `200 [{"id":4}]`},
			{"POST", "/subjects/s/versions", schemaBody(v1text, `"ruleSet":{"domainRules":[{"name":"r","type":"CEL","mode":"UPGRADE"}]}`), `422 {"error_code":42210}`},
			{"POST", "/subjects/s/versions", schemaBody(v1text, `"ruleSet":{"migrationRules":[{"name":"0","type":"CEL","mode":"UPGRADE"}]}`), `422 {"error_code":42210}`},
			{"PUT", "/config/c", `{"defaultMetadata":{"properties":{"team":"x"}},"overrideMetadata":{"properties":{"owner":"z"}}}`, `200`},
			{"POST", "/subjects/c/versions", schemaBody(v1text, `"metadata":{"properties":{"owner":"a"}}`), `200 {"metadata":{"properties":{"owner":"z","team":"x"}}}`},
			{"POST", "/subjects/c/versions", v1, `200 {"version":1}`},
			{"POST", "/subjects/c", v1, `200 {"version":1}`},
			{"PUT", "/config/g", `{"compatibilityGroup":"major"}`, `200`},
			{"POST", "/subjects/g/versions", schemaBody(v1text, `"metadata":{"properties":{"major":"1"}}`), `200 {"version":1}`},
			{"POST", "/subjects/g/versions", schemaBody(wrong, `"metadata":{"properties":{"major":"1"}}`), `409`},
			{"POST", "/subjects/g/versions", schemaBody(wrong, `"metadata":{"properties":{"major":"2"}}`), `200 {"version":2}`},
			{"PUT", "/config/f", `{"validateFields":true}`, `200`},
			{"POST", "/subjects/f/versions", schemaBody(v1text, `"metadata":{"properties":{"confluent:reserved":"a"}}`), `409`},
			{"POST", "/subjects/f/versions", schemaBody(v1text, `"metadata":{"properties":{"confluent:reserved":"x"}}`), `200`},
			{"POST", "/subjects/f/versions", schemaBody(v2text, `"metadata":{"properties":{"confluent:reserved":"y"}}`), `409`},
		}},
		{"the same schema everywhere by its guid", []step{
			{"POST", "/subjects/s/versions", schemaBody(`"string"`), `200 {"guid":"095d71cf-1255-6b9d-5e33-0ad575b3df5d"}`},
			{"POST", "/subjects/:.x:s/versions", schemaBody(`{"type":"string"}`), `200 {"guid":"095d71cf-1255-6b9d-5e33-0ad575b3df5d"}`},
			{"GET", "/schemas/guids/095d71cf-1255-6b9d-5e33-0ad575b3df5d", "", `200 {"schema":"\"string\""}`},
			{"GET", "/schemas/guids/095d71cf-1255-6b9d-5e33-0ad575b3df5d/ids", "", `200 [{"context":".","id":1},{"context":".x","id":1}]`},
			{"GET", "/schemas/guids/00000000-0000-0000-0000-000000000000", "", `404 {"error_code":40403}`},
			{"GET", "/schemas/guids/x/ids", "", `200 []`},
		}},
		{"aliases", []step{
			{"POST", "/subjects/real/versions", v1, `200`},
			{"PUT", "/config/nick", `{"alias":"real"}`, `200 {"alias":"real"}`},
			{"GET", "/subjects/nick/versions/1", "", `200 {"subject":"real"}`},
			{"POST", "/subjects/nick/versions", v2, `200 {"version":2}`},
			{"GET", "/subjects", "", `200 ["real"]`},
		}},
		{"what is not served", []step{
			{"GET", "/exporters", "", `404 {"error_code":404}`},
			{"GET", "/security/acls", "", `404 {"error_code":404}`},
			{"POST", "/subjects", v1, `405 {"error_code":405}`},
			{"DELETE", "/schemas/ids/1", "", `405 {"error_code":405}`},
		}},
	}
	for _, story := range stories {
		t.Run(story.name, func(t *testing.T) { openMem(t, newMemTopic()).run(story.steps) })
	}
}

// TestSubjectNames checks that any name without control characters is a subject
// of its own.
func TestSubjectNames(t *testing.T) {
	a := openMem(t, newMemTopic())
	names := []string{"a/b", "a b", "a+b", "a:b", "ä€😀", `a"b\c`, "a%2Fb", "a?b#c", "<a>&b", "a.b-c_d", "1"}
	for i, name := range names {
		path := url.PathEscape(name)
		if id, _ := a.add(path, fmt.Sprintf(`{"type":"fixed","name":"F","size":%d}`, i+1)); id != i+1 {
			t.Errorf("%q: id %d", name, id)
		}
		a.want(a.do("GET", "/subjects/"+path+"/versions/latest", ""), fmt.Sprintf(`200 {"subject":%s,"id":%d}`, marshal(name), i+1))
		a.want(a.do("PUT", "/config/"+path, `{"compatibility":"FULL"}`), "200")
	}
	if got := strings.Count(a.do("GET", "/subjects", "").body, ","); got != len(names)-1 {
		t.Errorf("%d subjects, want %d", got+1, len(names))
	}
	// A client that encodes a path as a query sends + for a space.
	a.want(a.do("DELETE", "/config/a+b", ""), "200")
	a.want(a.do("DELETE", "/config/a+b", ""), "200")
	a.want(a.do("GET", "/config/"+url.PathEscape("a b"), ""), "404")
}

// TestContentTypes checks negotiation in both directions.
func TestContentTypes(t *testing.T) {
	a := openMem(t, newMemTopic())
	for accept, want := range map[string]string{
		"":    contentTypes[0],
		"*/*": contentTypes[0],
		"application/vnd.schemaregistry.v1+json, application/vnd.schemaregistry+json, application/json": contentTypes[0],
		"application/json":                    contentTypes[2],
		"application/vnd.schemaregistry+json": contentTypes[1],
		"application/json;q=1, application/vnd.schemaregistry.v1+json;q=0.1": contentTypes[2],
	} {
		got := a.do("GET", "/subjects", "", "Accept", accept)
		if got.status != 200 || got.header.Get("Content-Type") != want {
			t.Errorf("Accept %q: %d %s", accept, got.status, got.header.Get("Content-Type"))
		}
	}
	a.want(a.do("GET", "/subjects", "", "Accept", "text/html"), `406 {"error_code":406}`)
	a.want(a.do("GET", "/subjects", "", "Accept", "text/html, */*;q=0.1"), `200`)
	for _, typ := range append([]string{"", "application/octet-stream", "application/json; charset=utf-8"}, contentTypes...) {
		a.want(a.do("POST", "/subjects/s/versions", schemaBody(`"int"`), "Content-Type", typ), `200 {"id":1}`)
	}
	a.want(a.do("POST", "/subjects/s/versions", schemaBody(`"int"`), "Content-Type", "application/x-www-form-urlencoded"), `415 {"error_code":415}`)
	a.want(a.do("POST", "/subjects/s/versions", `{"schema":"\"int\"","future":1}`, "Confluent-Accept-Unknown-Properties", "true"), `200 {"id":1}`)

	raw := a.do("GET", "/subjects/s/versions/1/schema", "")
	if raw.status != 200 || raw.body != `"int"` {
		t.Errorf("schema alone: %d %s", raw.status, raw.body)
	}
	if raw = a.do("GET", "/schemas/ids/1/schema", ""); raw.body != `"int"` {
		t.Errorf("schema alone: %d %s", raw.status, raw.body)
	}
	if h := a.do("DELETE", "/subjects", ""); h.header.Get("Allow") == "" {
		t.Error("405 without Allow")
	}
}

// TestMessagesVerbose checks the texts that tools parse.
func TestMessagesVerbose(t *testing.T) {
	a := openMem(t, newMemTopic())
	a.add("s", v1text)
	const detail = `{errorType:'TYPE_MISMATCH', description:'The type (path '/fields/0/type') of a field in the new schema does not match with the old schema', additionalInfo:'reader type: STRING not compatible with writer type: INT'}`
	messages := []string{detail, "{oldSchemaVersion: 1}", "{oldSchema: '" + v1text + "'}", "{validateFields: 'false', compatibility: 'BACKWARD'}"}
	a.want(a.do("POST", "/compatibility/subjects/s/versions/latest?verbose=true", schemaBody(wrong)),
		`200 {"is_compatible":false,"messages":`+string(marshal(messages))+`}`)
	a.want(a.do("POST", "/subjects/s/versions", schemaBody(wrong)),
		`409 {"error_code":409,"message":`+string(marshal(`Schema being registered is incompatible with an earlier schema for subject "s", details: [`+strings.Join(messages, ", ")+"]"))+`}`)

	newer := openMem(t, newMemTopic(), func(c *Config) { c.IncompatibleCode = 40901 })
	newer.add("s", v1text)
	newer.want(newer.do("POST", "/subjects/s/versions", schemaBody(wrong)), `409 {"error_code":40901}`)
}

// TestLimits checks bounds on what a client may send.
func TestLimits(t *testing.T) {
	a := openMem(t, newMemTopic(), func(c *Config) { c.MaxBody = 1000 })
	a.want(a.do("POST", "/subjects/s/versions", schemaBody(strings.Repeat(" ", 2000)+`"int"`)), `413 {"error_code":413}`)
	a.want(a.do("PUT", "/config", `{"compatibility":"`+strings.Repeat("x", 2000)+`"}`), `413`)
	b := openMem(t, newMemTopic())
	b.want(b.do("POST", "/subjects/s/versions", schemaBody(strings.Repeat(`{"type":"array","items":`, 20_000)+`"int"`+strings.Repeat("}", 20_000))), `422 {"error_code":42201}`)
	b.want(b.do("POST", "/subjects/s/versions", strings.Repeat("[", 100_000)), `400`)
}
