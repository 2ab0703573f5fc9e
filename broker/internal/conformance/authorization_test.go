package conformance

import (
	"bytes"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/quokka-stream/quokka/broker/internal/api"
	"github.com/quokka-stream/quokka/broker/internal/record"
)

// refusal is the code by which Kafka 4.1 refuses a request of a principal that may
// do nothing; 0 for those that nobody is refused, and that leave out what may not
// be seen.
func refusal(key, version int16) (code int16, known bool) {
	const topic, group, cluster, transaction = 29, 30, 31, 53
	if key == 24 && version >= 4 {
		return cluster, true // a request of brokers from then on
	}
	code, known = map[int16]int16{
		0: topic, 1: topic, 2: topic, 3: topic, 8: group, 9: group, 10: group, 11: group, 12: group, 13: group, 14: group, 15: group,
		16: 0, 17: 0, 18: 0, 19: topic, 20: topic, 21: topic, 22: transaction, 23: topic, 24: transaction, 25: transaction, 26: transaction,
		27: cluster, 28: transaction, 29: cluster, 30: cluster, 31: cluster, 32: topic, 33: topic, 34: cluster, 35: cluster, 36: 0, 37: topic,
		42: group, 43: cluster, 44: topic, 45: cluster, 46: cluster, 47: group, 48: cluster, 49: cluster, 50: cluster, 51: cluster,
		55: cluster, 57: cluster, 60: 0, 61: topic, 64: cluster, 65: transaction, 66: 0, 68: group, 69: group, 74: cluster, 75: topic,
		80: cluster, 81: cluster,
	}[key]
	return code, known
}

// aim is what a request is about.
type aim struct {
	topic, group, transaction, member string
	id                                [16]byte
	byID                              bool // name no topic where an id will do
	all                               bool // name nothing at all
	pid                               int64
	epoch                             int16
	edit                              func(kmsg.Request) // what else is special
	code                              int16              // that is expected, where not the key's
}

// at sets the fields of a request.
func (a *aim) at(v reflect.Value, name string) {
	switch v.Kind() {
	case reflect.Pointer:
		if a.byID && name == "Topic" {
			return
		}
		v.Set(reflect.New(v.Type().Elem()))
		a.at(v.Elem(), name)
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[kmsg.Tags]() {
			return
		}
		for i := range v.NumField() {
			if f := v.Field(i); f.CanSet() && v.Type().Field(i).Name != "Version" {
				a.at(f, v.Type().Field(i).Name)
			}
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() != reflect.Uint8 && !a.all {
			v.Set(reflect.MakeSlice(v.Type(), 1, 1))
			a.at(v.Index(0), name)
		}
	case reflect.Array:
		if name == "TopicID" {
			reflect.Copy(v, reflect.ValueOf(a.id[:]))
		}
	case reflect.String:
		switch {
		case strings.Contains(name, "Group") || name == "CoordinatorKey" || name == "CoordinatorKeys":
			v.SetString(a.group)
		case strings.Contains(name, "Transactional") || name == "TransactionID":
			v.SetString(a.transaction)
		case strings.Contains(name, "Topic") || name == "ResourceName":
			v.SetString(a.topic)
		case name == "MemberID":
			v.SetString(a.member)
		case name == "Principal":
			v.SetString("User:mallory")
		case name == "EntityType" || name == "Type":
			v.SetString("user")
		default:
			v.SetString("range")
		}
	case reflect.Int8:
		switch name {
		case "ResourceType":
			v.SetInt(2)
		case "Operation", "PermissionType", "ResourcePatternType":
			v.SetInt(3)
		}
	case reflect.Int16:
		if name == "ProducerEpoch" {
			v.SetInt(int64(a.epoch))
		}
	case reflect.Int32:
		switch {
		case strings.Contains(name, "Timeout"):
			v.SetInt(10000)
		case name == "Generation":
			v.SetInt(1)
		}
	case reflect.Int64:
		if name == "ProducerID" {
			v.SetInt(a.pid)
		}
	case reflect.Bool:
		v.SetBool(name == "Commit" || name == "Committed")
	}
}

// request makes the request of a key and version about the aim.
func (a *aim) request(key, version int16) kmsg.Request {
	req := kmsg.RequestForKey(key)
	a.at(reflect.ValueOf(req).Elem(), "")
	req.SetVersion(version)
	switch r := req.(type) {
	case *kmsg.ProduceRequest:
		r.Acks, r.TransactionID = -1, nil
		if !a.all {
			r.Topics[0].Partitions[0].Records = batch(record.Options{}, "theirs")
		}
	case *kmsg.FetchRequest:
		r.ClusterID, r.SessionEpoch, r.ReplicaID, r.ReplicaState.ID, r.IsolationLevel, r.MaxWaitMillis = nil, -1, -1, -1, 0, 0
		if r.ForgottenTopics = nil; !a.all {
			r.Topics[0].Partitions[0].HighWatermark = math.MaxInt64
			r.Topics[0].Partitions[0].CurrentLeaderEpoch, r.Topics[0].Partitions[0].LastFetchedEpoch = -1, -1
			r.MaxBytes, r.Topics[0].Partitions[0].PartitionMaxBytes = 1<<20, 1<<20
		}
	case *kmsg.ListGroupsRequest:
		r.StatesFilter, r.TypesFilter = nil, nil
	case *kmsg.ListTransactionsRequest:
		r.StateFilters, r.ProducerIDFilters, r.DurationFilterMillis, r.TransactionalIDPattern = nil, nil, -1, nil
	case *kmsg.ApiVersionsRequest:
		r.ClusterID, r.NodeID = nil, -1
	case *kmsg.MetadataRequest:
		if !a.all && !a.byID {
			r.Topics[0].TopicID = [16]byte{}
		}
	case *kmsg.DeleteTopicsRequest:
		if !a.all {
			r.TopicNames = []string{a.topic}
		}
		if !a.all && !a.byID {
			r.Topics[0].TopicID = [16]byte{}
		}
	case *kmsg.ListOffsetsRequest:
		r.ReplicaID = -1
	case *kmsg.DescribeTopicPartitionsRequest:
		r.Cursor, r.ResponsePartitionLimit = nil, 100
	case *kmsg.DescribeClientQuotasRequest:
		if !a.all {
			r.Components[0].Match = kmsg.StringPtr("quota-secret")
		}
	}
	if a.edit != nil {
		a.edit(req)
	}
	return req
}

// codes collects the error codes at the ends of a response: those of what has no
// part with a code of its own.
func codes(v reflect.Value) (out []int16) {
	var own []int16
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			return codes(v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).Name == "ErrorCode" {
				own = []int16{int16(v.Field(i).Int())}
			} else if v.Type().Field(i).IsExported() {
				out = append(out, codes(v.Field(i))...)
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			out = append(out, codes(v.Index(i))...)
		}
	}
	if len(out) == 0 {
		return own
	}
	return out
}

// world is a broker's state as its administrator sees it, an answer a line.
func world(root *conn) (out []string) {
	root.t.Helper()
	one := func(key, version int16, edit func(kmsg.Request)) {
		a := aim{topic: "t", group: "g", transaction: "x", all: true}
		req := a.request(key, version)
		if edit != nil {
			edit(req)
		}
		resp := root.receive(req, root.send(req))
		out = append(out, fmt.Sprintf("%s %q", kmsg.NameForKey(key), resp.AppendTo(nil)))
	}
	one(3, 13, func(r kmsg.Request) { r.(*kmsg.MetadataRequest).Topics = nil })
	one(2, 7, func(r kmsg.Request) {
		p := kmsg.ListOffsetsRequestTopicPartition{CurrentLeaderEpoch: -1, Timestamp: -1}
		r.(*kmsg.ListOffsetsRequest).Topics = []kmsg.ListOffsetsRequestTopic{{Topic: "t", Partitions: []kmsg.ListOffsetsRequestTopicPartition{p}}}
	})
	one(9, 8, func(r kmsg.Request) {
		r.(*kmsg.OffsetFetchRequest).Groups = []kmsg.OffsetFetchRequestGroup{{Group: "g"}}
	})
	one(15, 5, func(r kmsg.Request) { r.(*kmsg.DescribeGroupsRequest).Groups = []string{"g"} })
	one(16, 5, nil)
	one(29, 3, func(r kmsg.Request) {
		d := r.(*kmsg.DescribeACLsRequest)
		d.ResourceType, d.ResourceName, d.ResourcePatternType, d.Principal, d.Host, d.Operation, d.PermissionType = 1, nil, 1, nil, nil, 1, 1
	})
	one(32, 4, func(r kmsg.Request) {
		r.(*kmsg.DescribeConfigsRequest).Resources = []kmsg.DescribeConfigsRequestResource{
			{ResourceType: 2, ResourceName: "t"}, {ResourceType: 4}, {ResourceType: 4, ResourceName: "1"}, {ResourceType: 32, ResourceName: "g"}}
	})
	one(48, 1, nil)
	one(50, 0, nil)
	one(61, 0, func(r kmsg.Request) {
		r.(*kmsg.DescribeProducersRequest).Topics = []kmsg.DescribeProducersRequestTopic{{Topic: "t", Partitions: []int32{0}}}
	})
	one(65, 0, func(r kmsg.Request) { r.(*kmsg.DescribeTransactionsRequest).TransactionalIDs = []string{"x"} })
	one(66, 2, nil)
	return out
}

// furnish makes some of everything that a request may be about, or may show: what
// is not to be seen has "secret" in its name or contents.
func furnish(root *conn) aim {
	root.t.Helper()
	mine := aim{topic: "t", group: "g", transaction: "x"}
	mine.id = root.create("t", 1)
	root.create("topic-secret", 1)
	root.produce("t", batch(record.Options{}, "value-secret"))
	join := kmsg.NewPtrJoinGroupRequest()
	join.Group, join.ProtocolType, join.SessionTimeoutMillis, join.RebalanceTimeoutMillis = "g", "connect", 300_000, 300_000
	join.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "any", Metadata: []byte("member-secret")}}
	mine.member = ask[*kmsg.JoinGroupResponse](root, 3, join).MemberID
	root.sync("g", mine.member, 1, "assignment-secret")
	commit := ask[*kmsg.OffsetCommitResponse](root, 9, commitRequest("g", mine.member, 1, "t", mine.id, 1, "offset-secret"))
	if code := commit.Topics[0].Partitions[0].ErrorCode; code != 0 {
		root.t.Fatalf("commit: code %d", code)
	}
	root.join("group-secret", "connect")
	for _, id := range []string{"x", "transaction-secret"} {
		p := &producer{conn: root, id: id}
		if code := p.init(10 * time.Minute); code != 0 {
			root.t.Fatalf("init: code %d", code)
		}
		p.add("t", 0)
		if id == "x" {
			mine.pid, mine.epoch = p.pid, p.epoch
		}
	}
	setQuota(root, "user=quota-secret", "producer_byte_rate", 1e9)
	acl := kmsg.NewPtrCreateACLsRequest()
	acl.Creations = []kmsg.CreateACLsRequestCreation{{ResourceType: 2, ResourceName: "rule-secret", ResourcePatternType: 3, Principal: "User:bob", Host: "*", Operation: 3, PermissionType: 3}}
	if code := ask[*kmsg.CreateACLsResponse](root, 3, acl).Results[0].ErrorCode; code != 0 {
		root.t.Fatalf("the first rule: code %d", code)
	}
	return mine
}

// TestNoRights sends every request that is answered, in every version, from a user
// who may do nothing: each part of it is refused by the code that Kafka refuses it
// by, whether what it names exists or not; nothing is shown, and nothing done.
func TestNoRights(t *testing.T) {
	b := start(t, secured)
	root := loggedIn(t, b.Addr(), "admin", "secret")
	named := furnish(root)
	c := loggedIn(t, b.Addr(), "alice", "wonder")
	unknown := aim{topic: "no-topic", group: "no-group", transaction: "no-transaction", member: "nobody", id: [16]byte{1, 2, 3}, pid: 4711}
	before := world(root)
	api.Advertised(func(key, least, most int16) {
		if key == 0 {
			least = 3 // advertised from 0 for librdkafka's sake
		}
		for version := least; version <= most; version++ {
			want, ok := refusal(key, version)
			if !ok {
				t.Errorf("nothing says how %s is refused", kmsg.NameForKey(key))
				return
			}
			for _, a := range append(special(key, version, named, unknown), named, unknown, aim{all: true}) {
				req := a.request(key, version)
				resp := c.receive(req, c.send(req))
				if bytes.Contains(resp.AppendTo(nil), []byte("secret")) {
					t.Errorf("%s v%d of %+v shows %+v", kmsg.NameForKey(key), version, a, resp)
				}
				checkRefused(t, req, resp, &a, want)
			}
		}
		after := world(root)
		for i := range after {
			if after[i] != before[i] {
				t.Errorf("after %s\n%s is\n%s", kmsg.NameForKey(key), before[i], after[i])
			}
		}
		before = after
	})
	silent := named.request(0, 9).(*kmsg.ProduceRequest)
	silent.Acks = 0
	c.send(silent)
	c.closed()
	if after := world(root); !slices.Equal(before, after) {
		t.Error("what was produced without acks is there")
	}
}

// special are the aims that some keys have besides.
func special(key, version int16, named, unknown aim) (out []aim) {
	add := func(a aim, code int16, edit func(kmsg.Request)) {
		a.code, a.edit = code, edit
		out = append(out, a)
	}
	switch key {
	case 0:
		if version >= 13 {
			add(unknown, 100, nil) // an id is no secret
		}
		add(named, 53, func(r kmsg.Request) {
			p := r.(*kmsg.ProduceRequest)
			p.TransactionID = &named.transaction
			p.Topics[0].Partitions[0].Records = batch(record.Options{Idempotent: true, ProducerID: named.pid, ProducerEpoch: named.epoch, Transactional: true}, "theirs")
		})
	case 1:
		add(named, 29, func(r kmsg.Request) { // as a follower
			r.(*kmsg.FetchRequest).ReplicaID = 1
			if version >= 15 {
				r.(*kmsg.FetchRequest).ReplicaState.ID = 1
			}
		})
	case 3:
		if version >= 12 {
			byID, neither := named, unknown
			byID.byID, neither.byID = true, true
			add(byID, 29, nil)
			add(neither, 100, nil)
		}
	case 10:
		if version >= 1 {
			add(named, 53, func(r kmsg.Request) { r.(*kmsg.FindCoordinatorRequest).CoordinatorType = 1 })
		}
	case 20:
		if version >= 6 {
			byID, neither := named, unknown
			byID.byID, neither.byID = true, true
			add(byID, 29, nil)
			add(neither, 100, nil)
		}
	case 22:
		add(named, 31, func(r kmsg.Request) { r.(*kmsg.InitProducerIDRequest).TransactionalID = nil })
	case 32, 33, 44:
		for _, other := range []struct {
			typ  kmsg.ConfigResourceType
			name string
			code int16
		}{{4, "1", 31}, {4, "", 31}, {8, "1", 31}, {16, "metrics", 31}, {32, "g", 30}} {
			if key == 33 && other.typ == 8 {
				other.code = 42 // not even to who may
			}
			add(named, other.code, func(r kmsg.Request) {
				switch r := r.(type) {
				case *kmsg.DescribeConfigsRequest:
					r.Resources[0].ResourceType, r.Resources[0].ResourceName = other.typ, other.name
				case *kmsg.AlterConfigsRequest:
					r.Resources[0].ResourceType, r.Resources[0].ResourceName = other.typ, other.name
				case *kmsg.IncrementalAlterConfigsRequest:
					r.Resources[0].ResourceType, r.Resources[0].ResourceName = other.typ, other.name
				}
			})
		}
	}
	return out
}

// checkRefused fails where some part of a request is not refused as it should be.
func checkRefused(t *testing.T, req kmsg.Request, resp kmsg.Response, a *aim, want int16) {
	t.Helper()
	key, version := req.Key(), req.GetVersion()
	byID := key == 0 && version >= 13 || key == 1 && version >= 13
	switch {
	case want == 0:
		if l, ok := resp.(*kmsg.ListGroupsResponse); ok && len(l.Groups) > 0 {
			t.Errorf("ListGroups v%d shows %+v", version, l.Groups)
		}
		if l, ok := resp.(*kmsg.ListTransactionsResponse); ok && len(l.TransactionStates) > 0 {
			t.Errorf("ListTransactions v%d shows %+v", version, l.TransactionStates)
		}
		return
	case a.code != 0:
		want = a.code
	case byID && a.pid == 4711:
		want = 100
	}
	for _, code := range codes(reflect.ValueOf(resp)) {
		if code != want && !(code == 0 && (a.all || key == 35 && version < 3)) { // there is no place for a code
			t.Errorf("%s v%d of %+v: code %d, want %d", kmsg.NameForKey(key), version, *a, code, want)
		}
	}
}
