package api

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/quokka-stream/quokka/broker/internal/auth"
	"github.com/quokka-stream/quokka/broker/internal/cluster"
	"github.com/quokka-stream/quokka/broker/internal/errcode"
	"github.com/quokka-stream/quokka/broker/internal/quota"
)

// The types of entities that quotas are for, by Kafka's names.
const (
	quotaUser     = "user"
	quotaClientID = "client-id"
	quotaIP       = "ip"
)

// quotaPart is the part of an entity that a type names; nil for an unknown type.
func quotaPart(e *quota.Entity, typ string) *quota.Name {
	switch typ {
	case quotaUser:
		return &e.User
	case quotaClientID:
		return &e.ClientID
	case quotaIP:
		return &e.IP
	}
	return nil
}

// quotaFilter selects entities.
type quotaFilter struct {
	exact  quota.Entity // parts that must be these
	any    quota.Entity // parts that must be there
	strict bool         // there may be no other parts
	none   bool         // nothing can match
}

func (f *quotaFilter) matches(e quota.Entity) bool {
	if f.none {
		return false
	}
	for _, typ := range []string{quotaUser, quotaClientID, quotaIP} {
		got, exact, some := quotaPart(&e, typ), quotaPart(&f.exact, typ), quotaPart(&f.any, typ)
		switch {
		case exact.Set && *got != *exact, some.Set && !got.Set:
			return false
		case f.strict && got.Set && !exact.Set && !some.Set:
			return false
		}
	}
	return true
}

// newQuotaFilter reads the components of a request.
func newQuotaFilter(req *kmsg.DescribeClientQuotasRequest) (*quotaFilter, error) {
	f := &quotaFilter{strict: req.Strict}
	refuse := func(code int16, msg string) (*quotaFilter, error) {
		return nil, &cluster.Error{Code: code, Message: msg}
	}
	for _, c := range req.Components {
		exact, some := quotaPart(&f.exact, c.EntityType), quotaPart(&f.any, c.EntityType)
		switch {
		case c.EntityType == "":
			return refuse(errcode.InvalidRequest, "a component has no entity type")
		case exact == nil:
			return refuse(errcode.UnsupportedVersion, "entity type "+c.EntityType+" is not user, client-id or ip")
		case exact.Set || some.Set:
			return refuse(errcode.InvalidRequest, "the filter names entity type "+c.EntityType+" twice")
		case c.MatchType < kmsg.QuotasMatchTypeExact || c.MatchType > kmsg.QuotasMatchTypeAny:
			return refuse(errcode.InvalidRequest, "the kind of match is not exact, default or any")
		case (c.MatchType == kmsg.QuotasMatchTypeExact) != (c.Match != nil):
			return refuse(errcode.InvalidRequest, "a match string belongs to an exact match, and to no other")
		}
		switch c.MatchType {
		case kmsg.QuotasMatchTypeExact:
			name := *c.Match
			if addr, err := netip.ParseAddr(name); err == nil && c.EntityType == quotaIP {
				name = quotaAddr(addr)
			}
			*exact = quota.Named(name)
			f.none = f.none || name == "" // nobody is called so; the default has a match of its own
		case kmsg.QuotasMatchTypeDefault:
			*exact = quota.Default
		default:
			*some = quota.Default
		}
	}
	if (f.exact.IP.Set || f.any.IP.Set) && len(req.Components) > 1 {
		return refuse(errcode.InvalidRequest, "an ip goes with no other entity type in a filter")
	}
	return f, nil
}

func (h *Handler) describeClientQuotas(_ context.Context, c *call, kreq kmsg.Request) (kmsg.Response, error) {
	req := kreq.(*kmsg.DescribeClientQuotasRequest)
	resp := req.ResponseKind().(*kmsg.DescribeClientQuotasResponse)
	if !h.allowed(c, auth.DescribeConfigs, auth.Cluster, auth.ClusterName) {
		resp.ErrorCode = errcode.ClusterAuthorizationFailed
		return resp, nil
	}
	f, err := newQuotaFilter(req)
	if err != nil {
		resp.ErrorCode, resp.ErrorMessage = h.code(err)
		return resp, nil
	}
	resp.Entries = []kmsg.DescribeClientQuotasResponseEntry{}
	for _, e := range c.img.QuotaEntities() {
		if !f.matches(e) {
			continue
		}
		out := kmsg.NewDescribeClientQuotasResponseEntry()
		for _, typ := range []string{quotaUser, quotaClientID, quotaIP} {
			part := quotaPart(&e, typ)
			if !part.Set {
				continue
			}
			oe := kmsg.NewDescribeClientQuotasResponseEntryEntity()
			if oe.Type = typ; part.Name != "" {
				oe.Name = &part.Name
			}
			out.Entity = append(out.Entity, oe)
		}
		for _, k := range quota.Kinds {
			if v := c.img.ClientQuotas[e][k]; v > 0 {
				ov := kmsg.NewDescribeClientQuotasResponseEntryValue()
				ov.Key, ov.Value = k.String(), v
				out.Values = append(out.Values, ov)
			}
		}
		resp.Entries = append(resp.Entries, out)
	}
	return resp, nil
}

// quotaEntity reads an entity that is to get quotas.
func quotaEntity(parts []kmsg.AlterClientQuotasRequestEntryEntity) (e quota.Entity, err error) {
	refuse := func(msg string) (quota.Entity, error) {
		return quota.Entity{}, &cluster.Error{Code: errcode.InvalidRequest, Message: msg}
	}
	if len(parts) == 0 {
		return refuse("an entity has no parts")
	}
	for _, p := range parts {
		part := quotaPart(&e, p.Type)
		switch {
		case part == nil:
			return refuse("entity type " + p.Type + " is not user, client-id or ip")
		case p.Name == nil:
			*part = quota.Default
		case *p.Name == "":
			return refuse("the name of the " + p.Type + " is empty; null is the default one")
		case p.Type == quotaIP:
			addr, err := netip.ParseAddr(*p.Name)
			if err != nil {
				return refuse("ip " + *p.Name + " is no address")
			}
			*part = quota.Named(quotaAddr(addr))
		default:
			*part = quota.Named(*p.Name)
		}
	}
	if e.IP.Set && (e.User.Set || e.ClientID.Set) {
		return refuse("an ip goes with no other part in an entity")
	}
	return e, nil
}

func (h *Handler) alterClientQuotas(ctx context.Context, c *call, kreq kmsg.Request) (kmsg.Response, error) {
	req := kreq.(*kmsg.AlterClientQuotasRequest)
	resp := req.ResponseKind().(*kmsg.AlterClientQuotasResponse)
	allowed := h.allowed(c, auth.AlterConfigs, auth.Cluster, auth.ClusterName)
	entries := entitiesOnce(req.Entries)
	named := map[string]int{}
	for _, entry := range entries {
		named[entityKey(entry.Entity)]++
	}
	for _, entry := range unique(entries, func(e kmsg.AlterClientQuotasRequestEntry) string { return entityKey(e.Entity) }) {
		out := kmsg.NewAlterClientQuotasResponseEntry()
		for _, p := range entry.Entity {
			oe := kmsg.NewAlterClientQuotasResponseEntryEntity()
			oe.Type, oe.Name = p.Type, p.Name
			out.Entity = append(out.Entity, oe)
		}
		var err error
		switch {
		case !allowed:
			err = &cluster.Error{Code: errcode.ClusterAuthorizationFailed, Message: "Authorization failed."}
		case named[entityKey(entry.Entity)] > 1:
			err = &cluster.Error{Code: errcode.InvalidRequest, Message: "An entity may be altered once in a request."}
		default:
			err = h.alterQuotas(ctx, &entry, req.ValidateOnly)
		}
		out.ErrorCode, out.ErrorMessage = h.code(err)
		resp.Entries = append(resp.Entries, out)
	}
	return resp, nil
}

// entitiesOnce keeps of each type of a part the last one, as Kafka does, which takes
// an entity for a map.
func entitiesOnce(entries []kmsg.AlterClientQuotasRequestEntry) []kmsg.AlterClientQuotasRequestEntry {
	for i := range entries {
		e := &entries[i].Entity
		slices.Reverse(*e)
		*e = unique(*e, func(p kmsg.AlterClientQuotasRequestEntryEntity) string { return p.Type })
		slices.Reverse(*e)
	}
	return entries
}

// entityKey is an entity in a form that can be compared.
func entityKey(parts []kmsg.AlterClientQuotasRequestEntryEntity) string {
	var out []string
	for _, p := range parts {
		name := "-"
		if p.Name != nil {
			name = "=" + *p.Name
		}
		out = append(out, p.Type+name)
	}
	slices.Sort(out)
	return strings.Join(out, "\x00")
}

// alterQuotas changes the quotas of one entity, all that are named or none.
func (h *Handler) alterQuotas(ctx context.Context, entry *kmsg.AlterClientQuotasRequestEntry, validateOnly bool) error {
	e, err := quotaEntity(entry.Entity)
	if err != nil {
		return err
	}
	return h.cluster.Update(ctx, func(img *cluster.Image) ([]cluster.Command, error) {
		limits := img.ClientQuotas[e]
		for _, op := range entry.Ops {
			if op.Remove {
				limits.Remove(op.Key)
				continue
			}
			k, err := quota.Check(e, op.Key, op.Value)
			if err != nil {
				return nil, &cluster.Error{Code: errcode.InvalidRequest, Message: err.Error()}
			}
			limits[k] = op.Value
		}
		if validateOnly || limits == img.ClientQuotas[e] {
			return nil, nil
		}
		return []cluster.Command{&cluster.SetClientQuotas{Entity: e, Limits: limits}}, nil
	})
}

// ConnectQuota says for how long a new connection from an address is to be held
// before it is refused; 0: it is welcome.
func (h *Handler) ConnectQuota(addr netip.Addr) time.Duration {
	quotas := h.cluster.Image().ClientQuotas
	if len(quotas) == 0 || !addr.IsValid() {
		return 0
	}
	return h.meter.Connect(quotas, quotaAddr(addr), time.Now())
}

// quotaAddr is how an address is written in quotas, whatever its spelling.
func quotaAddr(addr netip.Addr) string { return addr.Unmap().WithZone("").String() }
