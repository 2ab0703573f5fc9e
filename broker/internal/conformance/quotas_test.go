package conformance

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/quokka-stream/quokka/broker"
	"github.com/quokka-stream/quokka/broker/internal/record"
)

// alterQuota sets a quota of an entity, written "user=alice,client-id=" where
// nothing after the sign is the default; 0 removes it.
func alterQuota(c *conn, version int16, entity, key string, value float64, validate ...bool) kmsg.AlterClientQuotasResponseEntry {
	c.t.Helper()
	req := kmsg.NewPtrAlterClientQuotasRequest()
	req.ValidateOnly = len(validate) > 0
	entry := kmsg.NewAlterClientQuotasRequestEntry()
	for part := range strings.SplitSeq(entity, ",") {
		typ, name, named := strings.Cut(part, "=")
		e := kmsg.NewAlterClientQuotasRequestEntryEntity()
		if e.Type = typ; !named {
			e.Name = kmsg.StringPtr("")
		} else if name != "" {
			e.Name = &name
		}
		if part != "" {
			entry.Entity = append(entry.Entity, e)
		}
	}
	op := kmsg.NewAlterClientQuotasRequestEntryOp()
	op.Key, op.Value, op.Remove = key, value, value == 0
	entry.Ops = append(entry.Ops, op)
	req.Entries = append(req.Entries, entry)
	return ask[*kmsg.AlterClientQuotasResponse](c, version, req).Entries[0]
}

// setQuota is alterQuota for one that must be taken.
func setQuota(c *conn, entity, key string, value float64) {
	c.t.Helper()
	if r := alterQuota(c, 1, entity, key, value); r.ErrorCode != 0 {
		c.t.Fatalf("%s of %s: code %d, %s", key, entity, r.ErrorCode, *r.ErrorMessage)
	}
}

// quotas describes quotas; a filter is written "user=alice,client-id=,ip", where
// nothing after the sign asks for the default and no sign for any.
func quotas(c *conn, version int16, strict bool, filter string) (code int16, out []string) {
	c.t.Helper()
	req := kmsg.NewPtrDescribeClientQuotasRequest()
	req.Strict = strict
	for part := range strings.SplitSeq(filter, ",") {
		typ, name, named := strings.Cut(part, "=")
		rc := kmsg.NewDescribeClientQuotasRequestComponent()
		switch rc.EntityType = typ; {
		case !named:
			rc.MatchType = 2
		case name == "":
			rc.MatchType = 1
		default:
			rc.Match = &name
		}
		if part != "" {
			req.Components = append(req.Components, rc)
		}
	}
	resp := ask[*kmsg.DescribeClientQuotasResponse](c, version, req)
	for _, e := range resp.Entries {
		var parts []string
		for _, p := range e.Entity {
			name := "<default>"
			if p.Name != nil {
				name = *p.Name
			}
			parts = append(parts, p.Type+"="+name)
		}
		for _, v := range e.Values {
			parts = append(parts, fmt.Sprintf("%s %v", v.Key, v.Value))
		}
		out = append(out, strings.Join(parts, " "))
	}
	return resp.ErrorCode, out
}

func TestClientQuotas(t *testing.T) {
	b := start(t)
	c := dial(t, b.Addr())
	setQuota(c, "user=alice", "producer_byte_rate", 1<<20)
	setQuota(c, "user=alice", "request_percentage", 12.5)
	setQuota(c, "user=alice,client-id=", "consumer_byte_rate", 1<<21)
	setQuota(c, "client-id=app", "controller_mutation_rate", 0.5)
	setQuota(c, "client-id=gone", "controller_mutation_rate", 0.5)
	setQuota(c, "client-id=gone", "controller_mutation_rate", 0)
	setQuota(c, "client-id=gone", "producer_byte_rate", 0)
	setQuota(c, "ip=", "connection_creation_rate", 1000)
	setQuota(c, "ip=::ffff:10.0.0.1", "connection_creation_rate", 7)
	if r := alterQuota(c, 0, "user=bob", "producer_byte_rate", 1, true); r.ErrorCode != 0 || *r.Entity[0].Name != "bob" {
		t.Errorf("validated only: %+v", r)
	}
	for _, refused := range []struct {
		entity, key string
		value       float64
	}{
		{"", "producer_byte_rate", 1},
		{"user", "producer_byte_rate", 1}, // an empty name
		{"group=g", "producer_byte_rate", 1},
		{"ip=10.0.0.1,user=a", "connection_creation_rate", 1},
		{"ip=nowhere", "connection_creation_rate", 1},
		{"ip=10.0.0.1", "producer_byte_rate", 1},
		{"user=a", "connection_creation_rate", 1},
		{"user=a", "producer_byte_rate", 0.5},
		{"user=a", "producer_byte_rate", -1},
		{"user=a", "nothing", 1},
	} {
		if r := alterQuota(c, 1, refused.entity, refused.key, refused.value); r.ErrorCode != 42 || r.ErrorMessage == nil {
			t.Errorf("%+v: %+v", refused, r)
		}
	}
	alice := "user=alice producer_byte_rate 1.048576e+06 request_percentage 12.5"
	both := "user=alice client-id=<default> consumer_byte_rate 2.097152e+06"
	app := "client-id=app controller_mutation_rate 0.5"
	anyone, ten := "ip=<default> connection_creation_rate 1000", "ip=10.0.0.1 connection_creation_rate 7"
	for range 2 { // and after a restart
		for version := range int16(2) {
			for _, f := range []struct {
				filter string
				strict bool
				want   []string
			}{
				{"", false, []string{alice, both, app, anyone, ten}},
				{"", true, nil},
				{"user", false, []string{alice, both}},
				{"user", true, []string{alice}},
				{"user=alice,client-id=", true, []string{both}},
				{"client-id", false, []string{both, app}},
				{"client-id=app", true, []string{app}},
				{"ip=", false, []string{anyone}},
				{"ip=10.0.0.1", false, []string{ten}}, {"ip=::ffff:10.0.0.1", false, []string{ten}},
				{"user=nobody", false, nil},
			} {
				code, got := quotas(c, version, f.strict, f.filter)
				slices.Sort(got)
				slices.Sort(f.want)
				if code != 0 || !slices.Equal(got, f.want) {
					t.Errorf("%q, strict %v: code %d, %q", f.filter, f.strict, code, got)
				}
			}
		}
		b.Restart()
		c = dial(t, b.Addr())
	}
	for filter, want := range map[string]int16{"user,user=alice": 42, "ip,user": 42, "=": 42, "group": 35} {
		if code, _ := quotas(c, 1, false, filter); code != want {
			t.Errorf("filter %q: code %d, want %d", filter, code, want)
		}
	}
}

// heldBack sends a request and fails where its answer comes before the time that
// the client was told with the one before.
func heldBack(c *conn, throttleMillis int32, since time.Time) {
	c.t.Helper()
	ask[*kmsg.ApiVersionsResponse](c, 3, apiVersions(3))
	if took, want := time.Since(since), time.Duration(throttleMillis)*time.Millisecond; took < want {
		c.t.Errorf("the next request is answered %v after one held back for %v", took, want)
	}
}

// TestProduceQuota: a producer over its quota is answered at once, and not read for
// as long as it was told; another client is not concerned.
func TestProduceQuota(t *testing.T) {
	b := start(t)
	c, other := dial(t, b.Addr()), dial(t, b.Addr())
	c.create("t", 1)
	// A second's worth is a request: no machine takes so long for one.
	setQuota(c, "user=ANONYMOUS,client-id=test", "producer_byte_rate", 4000)
	other.clientID = "other"
	var throttled int32
	var began time.Time
	for version := int16(3); version <= 12; version += 9 {
		throttled = 0
		for n := 0; throttled == 0; n++ {
			if n > 1000 { // a machine that stands still saves up for ten in ten seconds
				t.Fatal("never held back")
			}
			began = time.Now()
			resp := ask[*kmsg.ProduceResponse](c, version, produceRequest("t", 0, -1, batch(record.Options{}, string(make([]byte, 4000)))))
			if p := resp.Topics[0].Partitions[0]; p.ErrorCode != 0 {
				t.Fatalf("%+v", p)
			}
			if throttled = resp.ThrottleMillis; throttled > 0 {
				if throttled > 1250 {
					t.Errorf("v%d: held back for %d ms for at most 4 kB too much", version, throttled)
				}
				if r := ask[*kmsg.ProduceResponse](other, version, produceRequest("t", 0, -1, batch(record.Options{}, "x"))); r.ThrottleMillis != 0 {
					t.Error("another client is held back")
				}
				heldBack(c, throttled, began)
			}
		}
	}
	// Without acks there is no answer to tell it in. What it takes comes on top of what was
	// owed with the last answer, however long ago that is.
	req := produceRequest("t", 0, 0, batch(record.Options{}, string(make([]byte, 4000))))
	req.SetVersion(9)
	c.send(req)
	heldBack(c, throttled+999, began)
	metric(t, b, `quokka_broker_throttled_total{quota="producer_byte_rate"}`)
	metric(t, b, `quokka_broker_throttle_seconds_total{quota="producer_byte_rate"}`)
}

// TestFetchQuota: an answer over the quota has no records, in a fetch session and
// without one; they come when the time is over. A session that would begin with
// such an answer does not.
func TestFetchQuota(t *testing.T) {
	b := start(t)
	c := dial(t, b.Addr())
	id := c.create("t", 1)
	c.produce("t", batch(record.Options{}, string(make([]byte, 40_000))))
	setQuota(c, "client-id=", "consumer_byte_rate", 40_000) // a fetch's in a second
	fetch := func(sessionID, epoch int32) *kmsg.FetchResponse {
		req := fetchRequest("t", 0)
		req.SessionID, req.SessionEpoch, req.Topics[0].TopicID = sessionID, epoch, id
		return ask[*kmsg.FetchResponse](c, 13, req)
	}
	for _, lasting := range []bool{false, true} {
		session, epoch := int32(0), int32(-1)
		if lasting {
			for epoch = 1; session == 0; { // the first ones may be held back
				session = fetch(0, 0).SessionID
			}
		}
		for n := 0; ; n++ {
			if n > 1000 {
				t.Fatal("never held back")
			}
			began := time.Now()
			resp := fetch(session, epoch)
			if lasting {
				epoch++
			}
			if resp.ErrorCode != 0 || resp.SessionID != session {
				t.Fatalf("%+v", resp)
			}
			if resp.ThrottleMillis == 0 {
				continue
			}
			if len(resp.Topics) > 0 || resp.ThrottleMillis > 1050 { // an answer has more bytes than its records
				t.Errorf("held back for %d ms with %+v", resp.ThrottleMillis, resp.Topics)
			}
			heldBack(c, resp.ThrottleMillis, began)
			if again := fetch(session, epoch); again.ThrottleMillis > 0 || len(again.Topics) != 1 || again.SessionID != session {
				t.Errorf("when the time is over: held back for %d ms with %d topics", again.ThrottleMillis, len(again.Topics))
			}
			break
		}
	}
	for first := fetch(0, 0); ; first = fetch(0, 0) {
		if first.ThrottleMillis > 0 {
			if first.SessionID != 0 || len(first.Topics) > 0 {
				t.Errorf("a session begins with %+v", first)
			}
			break
		}
	}
}

// TestRequestQuota: the time that requests take is charged; a second is the longest
// for which a client is held back at a time.
func TestRequestQuota(t *testing.T) {
	b := start(t)
	c := dial(t, b.Addr())
	c.create("t", 100)
	setQuota(c, "client-id=test", "request_percentage", 0.001)
	for n := 0; ; n++ {
		if n > 100 {
			t.Fatal("never held back")
		}
		began := time.Now()
		if r := metadata(c, 9, false); r.ThrottleMillis > 0 {
			if r.ThrottleMillis > 1000 {
				t.Errorf("held back for %d ms", r.ThrottleMillis)
			}
			heldBack(c, r.ThrottleMillis, began)
			break
		}
	}
}

// TestMutationQuota: creating and deleting partitions is refused, or, where the
// client does not know the code, held back.
func TestMutationQuota(t *testing.T) {
	b := start(t)
	c := dial(t, b.Addr())
	c.create("before", 3)
	// So low that what is owed after the second topic takes a quarter of an hour to pay.
	setQuota(c, "client-id=test", "controller_mutation_rate", 1)
	// One that is held back is not read: each request has a connection of its own.
	create := func(version int16, name string, partitions int32) (int16, int32) {
		req := kmsg.NewPtrCreateTopicsRequest()
		rt := kmsg.NewCreateTopicsRequestTopic()
		rt.Topic, rt.NumPartitions, rt.ReplicationFactor = name, partitions, 1
		req.Topics = append(req.Topics, rt)
		resp := ask[*kmsg.CreateTopicsResponse](dial(t, b.Addr()), version, req)
		return resp.Topics[0].ErrorCode, resp.ThrottleMillis
	}
	for _, s := range []struct {
		version    int16
		name       string
		partitions int32
		code       int16
		held       bool
	}{
		{7, "saved-up", 10, 0, false}, // ten seconds' worth
		{7, "on-credit", 1000, 0, false},
		{7, "refused", 1, 89, true},
		{6, "refused", 1, 89, true},
		{5, "held-back", 20, 0, true},
	} {
		if code, wait := create(s.version, s.name, s.partitions); code != s.code || (wait > 0) != s.held {
			t.Errorf("%s: code %d, held back for %d ms", s.name, code, wait)
		}
	}
	grow := kmsg.NewPtrCreatePartitionsRequest()
	grow.Topics = []kmsg.CreatePartitionsRequestTopic{{Topic: "held-back", Count: 60}}
	remove := kmsg.NewPtrDeleteTopicsRequest()
	remove.TopicNames, remove.Topics = []string{"held-back"}, []kmsg.DeleteTopicsRequestTopic{{Topic: kmsg.StringPtr("held-back")}}
	for _, strict := range []bool{true, false} {
		growVersion, removeVersion, want := int16(2), int16(4), int16(0)
		if strict {
			growVersion, removeVersion, want = 3, 5, 89
		}
		if r := ask[*kmsg.CreatePartitionsResponse](dial(t, b.Addr()), growVersion, grow); r.Topics[0].ErrorCode != want || r.ThrottleMillis <= 0 {
			t.Errorf("grow v%d: %+v", growVersion, r)
		}
		if r := ask[*kmsg.DeleteTopicsResponse](dial(t, b.Addr()), removeVersion, remove); r.Topics[0].ErrorCode != want || r.ThrottleMillis <= 0 {
			t.Errorf("delete v%d: %+v", removeVersion, r)
		}
	}
	if r := metadata(dial(t, b.Addr()), 9, true, "on-demand"); r.ThrottleMillis <= 0 || r.Topics[0].ErrorCode != 0 {
		t.Errorf("made on demand: %+v", r)
	}
}

// TestConnectionQuota: an address that connects too often is closed, after it was
// held; a rate saves up for ten seconds.
func TestConnectionQuota(t *testing.T) {
	b := start(t, func(c *broker.Config) { c.InMemory = true })
	c := dial(t, b.Addr())
	began := time.Now()
	setQuota(c, "ip=127.0.0.1", "connection_creation_rate", 2)
	refused := 0
	for n := 0; refused == 0; n++ {
		if n > 100 {
			t.Fatal("never refused")
		}
		one := dial(t, b.Addr())
		req := apiVersions(3)
		one.send(req)
		if _, err := one.frame(); err != nil {
			// Not before its turn: two a second, after the twenty that were saved up.
			if refused++; n < 20 || time.Since(began) < time.Duration(n-19)*time.Second/2 {
				t.Errorf("connection %d is refused %v after the quota was set", n, time.Since(began))
			}
		}
	}
	setQuota(c, "ip=127.0.0.1", "connection_creation_rate", 0)
	ask[*kmsg.ApiVersionsResponse](dial(t, b.Addr()), 3, apiVersions(3))
	metric(t, b, `quokka_broker_throttled_total{quota="connection_creation_rate"}`)
}
