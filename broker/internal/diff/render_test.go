package diff

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/quokka-stream/quokka/broker/internal/record"
)

// renderer turns answers into lines, by the rules. Names of ids last for one
// scenario on one server.
type renderer struct {
	prefix string    // of every name in the scenario; left out
	epoch  time.Time // what the scenario's timestamps are relative to
	names  map[string]string
	counts map[string]int
}

// node is a field: a value, or what is in it. An id is named only when the line is
// written, after arrays are in order.
type node struct {
	name  string
	value string
	id    string // kind of the id in value
	kids  []node
	array bool
}

// lines renders an answer, a line for each field that is not zero.
func (r *renderer) lines(resp kmsg.Response) []string {
	v := reflect.ValueOf(resp).Elem()
	n := r.structure(v.Type().Name(), v)
	var out []string
	r.write(n, "", &out)
	return out
}

func (r *renderer) write(n node, path string, out *[]string) {
	labels := labels(n)
	for i, kid := range n.kids {
		at := kid.name
		if n.array {
			at = path + "[" + labels[i] + "]"
		} else if path != "" {
			at = path + "." + kid.name
		}
		if len(kid.kids) > 0 || kid.array {
			r.write(kid, at, out)
			if len(kid.kids) == 0 {
				*out = append(*out, at+" = []")
			}
			continue
		}
		if kid.value != "" {
			*out = append(*out, at+" = "+r.text(kid, true))
		} else if n.array {
			*out = append(*out, at+" = zero")
		}
	}
}

// labels are how the elements of an array are called: by their names where they
// have any, so that one that is missing does not move the others.
func labels(n node) []string {
	out := make([]string, len(n.kids))
	seen := map[string]bool{}
	for i, kid := range n.kids {
		out[i] = strconv.Itoa(i)
		for _, name := range kid.kids {
			switch name.name {
			case "Name", "Topic", "Partition", "Group", "GroupID", "TransactionalID", "ConfigName", "ResourceName", "Feature", "ApiKey", "User":
				if name.id == "" && len(name.kids) == 0 {
					out[i] = strings.Trim(name.value, `"`)
				}
			}
		}
		if seen[out[i]] {
			out[i] += "/" + strconv.Itoa(i)
		}
		seen[out[i]] = true
	}
	return out
}

// text is a leaf's value; name says whether an id that has no name yet gets one.
func (r *renderer) text(n node, name bool) string {
	if n.id == "" {
		return n.value
	}
	known, ok := r.names[n.id+n.value]
	if !ok {
		known = n.id + "#?"
		if name {
			r.counts[n.id]++
			known = n.id + "#" + strconv.Itoa(r.counts[n.id])
			r.names[n.id+n.value] = known
		}
	}
	return known
}

func (r *renderer) structure(path string, v reflect.Value) node {
	var n node
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if f.Name == "UnknownTags" || f.Name == "Version" && !strings.Contains(path, ".") {
			continue
		}
		kid := r.field(path+"."+f.Name, v.Field(i))
		if kid.name = f.Name; kid.value != "" || len(kid.kids) > 0 || kid.array {
			n.kids = append(n.kids, kid)
		}
	}
	return n
}

func (r *renderer) field(path string, v reflect.Value) node {
	do := ruleFor(path)
	name := path[strings.LastIndexByte(path, '.')+1:]
	if do == drop {
		return node{}
	}
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return node{}
		}
		if v.Elem().Kind() != reflect.Struct && v.Elem().IsZero() {
			return node{value: `""`}
		}
		v = v.Elem()
		if v.Kind() == reflect.Struct {
			n := r.structure(path, v)
			if len(n.kids) == 0 { // it is there, with nothing in it
				n.value = "empty"
			}
			return n
		}
	}
	switch {
	case v.Kind() == reflect.Struct:
		return r.structure(path, v)
	case v.Type() == reflect.TypeFor[[]byte]():
		return r.bytes(v.Bytes(), do)
	case v.Kind() == reflect.Slice:
		n := node{array: !v.IsNil()}
		for i := range v.Len() {
			n.kids = append(n.kids, r.field(path, v.Index(i)))
		}
		slices.SortStableFunc(n.kids, func(a, b node) int { return strings.Compare(r.key(a), r.key(b)) })
		return n
	case v.IsZero() && (do != symbol || kind(name) != "producer"): // 0 is a producer's id as good as any
		return node{}
	case do == symbol:
		id := fmt.Sprint(v.Interface())
		if v.CanInt() && v.Int() < 0 { // none
			return node{value: id}
		}
		return node{value: id, id: kind(name)}
	case do == when:
		return node{value: r.time(v.Int())}
	case name == "ErrorCode":
		code := int16(v.Int())
		return node{value: fmt.Sprintf("%d %s", code, kerr.TypedErrorForCode(code).Message)}
	case v.Kind() == reflect.String:
		return node{value: strconv.Quote(strings.ReplaceAll(v.String(), r.prefix, ""))}
	}
	return node{value: fmt.Sprint(v.Interface())}
}

// kind is what an id is of: leaders and replicas are nodes.
func kind(field string) string {
	switch field {
	case "ControllerID", "Leader", "CoordinatorID", "Replicas", "ISR", "OfflineReplicas", "ReplicaNodes", "ISRNodes", "ReplicaID", "NodeID":
		return "node"
	case "LeaderID":
		return "member"
	case "MemberEpoch", "AssignmentEpoch", "Epoch":
		return "epoch"
	}
	return strings.ToLower(strings.TrimSuffix(field, "ID"))
}

// key is what arrays are ordered by: the element as it would be written, ids that
// are not known yet being equal.
func (r *renderer) key(n node) string {
	if len(n.kids) == 0 {
		return r.text(n, false)
	}
	var b strings.Builder
	for _, kid := range n.kids {
		b.WriteString(kid.name + "=" + r.key(kid) + ";")
	}
	return b.String()
}

func (r *renderer) time(ms int64) string {
	if ms <= 0 {
		return strconv.FormatInt(ms, 10)
	}
	if d := ms - r.epoch.UnixMilli(); d > -100_000 && d < 100_000 {
		return fmt.Sprintf("T%+d", d)
	}
	return "a time"
}

func (r *renderer) bytes(b []byte, do action) node {
	if do == batch {
		return r.batches(b)
	}
	if len(b) == 0 {
		return node{}
	}
	text := strings.ReplaceAll(string(b), r.prefix, "")
	for _, c := range text {
		if !unicode.IsPrint(c) {
			return node{value: fmt.Sprintf("%x", text)}
		}
	}
	return node{value: strconv.Quote(text)}
}

// batches renders the whole batches in fetched bytes; where a fetch ends inside
// one is the server's choice.
func (r *renderer) batches(b []byte) node {
	var n node
	record.Each(b, func(one []byte) bool {
		n.array = true
		n.kids = append(n.kids, r.batch(one))
		return true
	})
	return n
}

func (r *renderer) batch(b []byte) node {
	var n node
	add := func(name string, v any) { n.kids = append(n.kids, node{name: name, value: fmt.Sprint(v)}) }
	var rd record.Reader
	if err := rd.Reset(b, 0); err != nil {
		add("Error", err)
		return n
	}
	info := rd.Info()
	add("Offsets", fmt.Sprintf("%d-%d", info.BaseOffset, info.LastOffset()))
	add("LeaderEpoch", info.LeaderEpoch)
	add("Attributes", fmt.Sprintf("%#x", info.Attributes))
	add("MaxTimestamp", r.time(info.MaxTimestamp))
	if info.ProducerID >= 0 {
		n.kids = append(n.kids, node{name: "Producer", value: strconv.FormatInt(info.ProducerID, 10), id: "producer"})
		add("Epoch", info.ProducerEpoch)
		add("Sequence", info.BaseSequence)
	}
	records := node{name: "Records", array: true}
	var rec record.Record
	for rd.Next(&rec) {
		if marker, ok, _ := record.ParseMarker(b); ok && info.Control() {
			records.kids = append(records.kids, node{value: fmt.Sprintf("marker, commit %t", marker.Commit)})
			continue
		}
		records.kids = append(records.kids, node{value: fmt.Sprintf("%d %s %s=%s%v", rec.Offset, r.time(rec.Timestamp), rec.Key, rec.Value, headers(rec))})
	}
	if rd.Err() != nil {
		add("Error", rd.Err())
	}
	n.kids = append(n.kids, records)
	return n
}

func headers(rec record.Record) string {
	var b strings.Builder
	for _, h := range rec.Headers {
		fmt.Fprintf(&b, " %s:%s", h.Key, h.Value)
	}
	return b.String()
}
