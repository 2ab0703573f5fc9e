package diff

import (
	"math"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// The scenario of client quotas. Their entities are written "user=alice,client-id=",
// nothing after the sign being the default.

func quotaEntry(entity, key string, value float64) kmsg.AlterClientQuotasRequestEntry {
	entry := kmsg.NewAlterClientQuotasRequestEntry()
	for part := range strings.SplitSeq(entity, ",") {
		typ, name, named := strings.Cut(part, "=")
		if typ == "" {
			continue
		}
		e := kmsg.NewAlterClientQuotasRequestEntryEntity()
		switch e.Type = typ; {
		case !named:
			e.Name = pointer("")
		case name != "":
			e.Name = &name
		}
		entry.Entity = append(entry.Entity, e)
	}
	op := kmsg.NewAlterClientQuotasRequestEntryOp()
	op.Key, op.Value, op.Remove = key, value, value == 0
	entry.Ops = append(entry.Ops, op)
	return entry
}

// describeQuotas asks for quotas; a part without a sign asks for any of its type.
func describeQuotas(strict bool, filter string) *kmsg.DescribeClientQuotasRequest {
	req := kmsg.NewPtrDescribeClientQuotasRequest()
	req.Strict = strict
	for part := range strings.SplitSeq(filter, ",") {
		typ, name, named := strings.Cut(part, "=")
		if part == "" {
			continue
		}
		c := kmsg.NewDescribeClientQuotasRequestComponent()
		switch c.EntityType = typ; {
		case !named:
			c.MatchType = kmsg.QuotasMatchTypeAny
		case name == "":
			c.MatchType = kmsg.QuotasMatchTypeDefault
		default:
			c.Match = &name
		}
		req.Components = append(req.Components, c)
	}
	return req
}

func quotas(s *session) {
	alice, app := s.n("alice"), s.n("app")
	alter := func(label string, version int16, validateOnly bool, entries ...kmsg.AlterClientQuotasRequestEntry) {
		req := kmsg.NewPtrAlterClientQuotasRequest()
		req.Entries, req.ValidateOnly = entries, validateOnly
		ask[*kmsg.AlterClientQuotasResponse](s, label, version, req)
	}
	last := s.last(kmsg.AlterClientQuotas)
	for _, v := range s.versions(kmsg.AlterClientQuotas) {
		alter("some", v, false,
			quotaEntry("user="+alice, "producer_byte_rate", 1<<30),
			quotaEntry("user="+alice+",client-id="+app, "consumer_byte_rate", 1<<30),
			quotaEntry("user="+alice+",client-id=", "request_percentage", 1000.5),
			quotaEntry("client-id="+app, "controller_mutation_rate", 1e6),
			quotaEntry("ip=10.1.2.3", "connection_creation_rate", 1e6))
	}
	alter("another of the same", last, false, quotaEntry("user="+alice, "consumer_byte_rate", 1<<30))
	alter("not done", last, true, quotaEntry("user="+alice, "producer_byte_rate", 1), quotaEntry("user="+alice+",client-id=other", "producer_byte_rate", 1))
	for _, r := range []struct {
		entity, key string
		value       float64
	}{
		{"", "producer_byte_rate", 1}, {"user", "producer_byte_rate", 1}, {"client-id", "producer_byte_rate", 1}, {"ip", "connection_creation_rate", 1},
		{"group=g", "producer_byte_rate", 1}, {"user=a,user=b", "producer_byte_rate", 1}, {"ip=10.1.2.3,user=a", "connection_creation_rate", 1},
		{"ip=10.1.2.3", "producer_byte_rate", 1}, {"user=a", "connection_creation_rate", 1}, {"user=a", "nothing", 1}, {"user=a", "nothing", 0},
		{"user=a", "producer_byte_rate", -1}, {"user=a", "producer_byte_rate", 0.5}, {"user=a", "producer_byte_rate", 1e19},
		{"user=a", "request_percentage", -0.5}, {"user=a", "controller_mutation_rate", math.NaN()}, {"ip=10.1.2.3", "connection_creation_rate", 1 << 32},
		{"ip=10.1.2.3", "connection_creation_rate", 1.5}, {"user=a", "producer_byte_rate", 0},
	} {
		entry := quotaEntry(r.entity, r.key, r.value)
		alter("refused: "+r.entity+" "+r.key, last, false, entry)
	}
	twice := quotaEntry("user="+alice, "producer_byte_rate", 1<<30)
	alter("the same twice", last, false, twice, twice)
	// Kafka's broker hears of a change when its controller has answered.
	entries := func(n int) {
		silently(s, 1, describeQuotas(false, "user="+alice), func(r *kmsg.DescribeClientQuotasResponse) bool { return len(r.Entries) == n })
	}
	entries(3)
	for _, v := range s.versions(kmsg.DescribeClientQuotas) {
		for _, filter := range []string{"user=" + alice, "user=" + alice + ",client-id", "user=" + alice + ",client-id=", "client-id=" + app, "ip=10.1.2.3", "user=nobody"} {
			for _, strict := range []bool{false, true} {
				label := map[bool]string{true: "strictly ", false: ""}[strict] + strings.ReplaceAll(filter, s.r.prefix, "")
				ask[*kmsg.DescribeClientQuotasResponse](s, label, v, describeQuotas(strict, filter))
			}
		}
	}
	for _, filter := range []string{"user,user", "user=a,user", "ip,user", "ip,client-id", "group", "group=g"} {
		ask[*kmsg.DescribeClientQuotasResponse](s, "refused: "+filter, 1, describeQuotas(false, filter))
	}
	odd := describeQuotas(false, "user=x")
	odd.Components[0].MatchType = 3
	ask[*kmsg.DescribeClientQuotasResponse](s, "an unknown match", 1, odd)
	odd.Components[0].MatchType, odd.Components[0].Match = 0, nil
	ask[*kmsg.DescribeClientQuotasResponse](s, "an exact match of nothing", 1, odd)
	odd.Components[0].Match = pointer("")
	ask[*kmsg.DescribeClientQuotasResponse](s, "an exact match of an empty name", 1, odd)
	odd.Components[0].MatchType, odd.Components[0].Match = 1, pointer("x")
	ask[*kmsg.DescribeClientQuotasResponse](s, "the default with a name", 1, odd)
	for _, e := range []string{"user=" + alice, "user=" + alice + ",client-id=" + app, "user=" + alice + ",client-id=", "client-id=" + app, "ip=10.1.2.3"} {
		for _, key := range []string{"producer_byte_rate", "consumer_byte_rate", "request_percentage", "controller_mutation_rate", "connection_creation_rate"} {
			alter("removed "+strings.ReplaceAll(e, s.r.prefix, ""), last, false, quotaEntry(e, key, 0))
		}
	}
	entries(0)
	ask[*kmsg.DescribeClientQuotasResponse](s, "nothing is left", 1, describeQuotas(false, "user="+alice))
}
