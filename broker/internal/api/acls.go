package api

import (
	"context"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/quokka-stream/quokka/broker/internal/auth"
	"github.com/quokka-stream/quokka/broker/internal/cluster"
	"github.com/quokka-stream/quokka/broker/internal/errcode"
)

// Filters match any of these, and patterns match by name.
const (
	aclAny   = 1
	aclMatch = 2
)

const noAuthorizer = "No Authorizer is configured on the broker."

// aclFilter selects rules; nil fields and aclAny match all.
type aclFilter struct {
	typ, pattern, operation, permission int8
	name, principal, host               *string
}

func (f *aclFilter) matches(a *cluster.ACL) bool {
	is := func(want *string, got string) bool { return want == nil || *want == got }
	return (f.typ == aclAny || f.typ == a.ResourceType) &&
		(f.operation == aclAny || f.operation == a.Operation) &&
		(f.permission == aclAny || f.permission == a.Permission) &&
		is(f.principal, a.Principal) && is(f.host, a.Host) && f.matchesName(a)
}

func (f *aclFilter) matchesName(a *cluster.ACL) bool {
	switch {
	case f.pattern == aclMatch:
		if f.name == nil {
			return true
		}
		if a.Pattern == auth.PatternPrefixed {
			return strings.HasPrefix(*f.name, a.ResourceName)
		}
		return a.ResourceName == *f.name || a.ResourceName == auth.Wildcard
	case f.pattern != aclAny && f.pattern != a.Pattern:
		return false
	}
	return f.name == nil || *f.name == a.ResourceName
}

func (f *aclFilter) valid() bool {
	return f.typ >= aclAny && f.typ <= 7 && f.pattern >= aclAny && f.pattern <= auth.PatternPrefixed &&
		f.operation >= aclAny && f.operation <= 14 && f.permission >= aclAny && f.permission <= auth.Allow
}

func (h *Handler) describeACLs(_ context.Context, c *call, kreq kmsg.Request) (kmsg.Response, error) {
	req := kreq.(*kmsg.DescribeACLsRequest)
	resp := req.ResponseKind().(*kmsg.DescribeACLsResponse)
	f := aclFilter{int8(req.ResourceType), int8(req.ResourcePatternType), int8(req.Operation), int8(req.PermissionType), req.ResourceName, req.Principal, req.Host}
	switch {
	case !h.cfg.Authorization:
		resp.ErrorCode, resp.ErrorMessage = errcode.SecurityDisabled, kmsg.StringPtr(noAuthorizer)
		return resp, nil
	case !h.allowed(c, auth.Describe, auth.Cluster, auth.ClusterName):
		resp.ErrorCode = errcode.ClusterAuthorizationFailed
		return resp, nil
	case !f.valid():
		resp.ErrorCode = errcode.InvalidRequest
		return resp, nil
	}
	type resource struct {
		typ, pattern int8
		name         string
	}
	at := map[resource]int{}
	for i := range c.img.ACLs {
		a := &c.img.ACLs[i]
		if !f.matches(a) {
			continue
		}
		r := resource{a.ResourceType, a.Pattern, a.ResourceName}
		n, ok := at[r]
		if !ok {
			n = len(resp.Resources)
			at[r] = n
			out := kmsg.NewDescribeACLsResponseResource()
			out.ResourceType, out.ResourceName, out.ResourcePatternType = kmsg.ACLResourceType(a.ResourceType), a.ResourceName, kmsg.ACLResourcePatternType(a.Pattern)
			resp.Resources = append(resp.Resources, out)
		}
		out := kmsg.NewDescribeACLsResponseResourceACL()
		out.Principal, out.Host, out.Operation, out.PermissionType = a.Principal, a.Host, kmsg.ACLOperation(a.Operation), kmsg.ACLPermissionType(a.Permission)
		resp.Resources[n].ACLs = append(resp.Resources[n].ACLs, out)
	}
	return resp, nil
}

// checkACL refuses a rule that would mean nothing.
func checkACL(a *cluster.ACL) error {
	refuse := func(why string) error { return &cluster.Error{Code: errcode.InvalidRequest, Message: why} }
	switch {
	case a.ResourceType < int8(auth.Topic) || a.ResourceType > 7:
		return refuse("Invalid resource type")
	case a.Pattern != auth.PatternLiteral && a.Pattern != auth.PatternPrefixed:
		return refuse("Invalid pattern type")
	case a.Operation < auth.AllOperations || a.Operation > 14:
		return refuse("Invalid operation")
	case a.Permission != auth.Deny && a.Permission != auth.Allow:
		return refuse("Invalid permission type")
	case a.ResourceType == int8(auth.Cluster) && a.ResourceName != auth.ClusterName:
		return refuse("The only valid name for the CLUSTER resource is " + auth.ClusterName)
	case a.ResourceName == "":
		return refuse("Resource name should not be empty")
	case !strings.Contains(a.Principal, ":"):
		return refuse("Could not parse principal from " + a.Principal + " (no colon is present separating the principal type from the principal name)")
	case a.Host == "":
		return refuse("Host should not be empty")
	}
	return nil
}

func (h *Handler) createACLs(ctx context.Context, c *call, kreq kmsg.Request) (kmsg.Response, error) {
	req := kreq.(*kmsg.CreateACLsRequest)
	resp := req.ResponseKind().(*kmsg.CreateACLsResponse)
	var acls []cluster.ACL
	for _, r := range req.Creations {
		a := cluster.ACL{
			ResourceType: int8(r.ResourceType), ResourceName: r.ResourceName, Pattern: int8(r.ResourcePatternType),
			Principal: r.Principal, Host: r.Host, Operation: int8(r.Operation), Permission: int8(r.PermissionType),
		}
		var err error
		switch {
		case !h.cfg.Authorization:
			err = &cluster.Error{Code: errcode.SecurityDisabled, Message: noAuthorizer}
		case !h.allowed(c, auth.Alter, auth.Cluster, auth.ClusterName):
			err = &cluster.Error{Code: errcode.ClusterAuthorizationFailed, Message: "Authorization failed."}
		default:
			err = checkACL(&a)
		}
		out := kmsg.NewCreateACLsResponseResult()
		out.ErrorCode, out.ErrorMessage = h.code(err)
		if err == nil {
			acls = append(acls, a)
		}
		resp.Results = append(resp.Results, out)
	}
	if len(acls) > 0 {
		if err := h.cluster.Propose(ctx, &cluster.AddACLs{ACLs: acls}); err != nil {
			for i := range resp.Results {
				if resp.Results[i].ErrorCode == errcode.None {
					resp.Results[i].ErrorCode, resp.Results[i].ErrorMessage = h.code(err)
				}
			}
		}
	}
	return resp, nil
}

func (h *Handler) deleteACLs(ctx context.Context, c *call, kreq kmsg.Request) (kmsg.Response, error) {
	req := kreq.(*kmsg.DeleteACLsRequest)
	resp := req.ResponseKind().(*kmsg.DeleteACLsResponse)
	for _, r := range req.Filters {
		out := kmsg.NewDeleteACLsResponseResult()
		f := aclFilter{int8(r.ResourceType), int8(r.ResourcePatternType), int8(r.Operation), int8(r.PermissionType), r.ResourceName, r.Principal, r.Host}
		var err error
		switch {
		case !h.cfg.Authorization:
			err = &cluster.Error{Code: errcode.SecurityDisabled, Message: noAuthorizer}
		case !h.allowed(c, auth.Alter, auth.Cluster, auth.ClusterName):
			err = &cluster.Error{Code: errcode.ClusterAuthorizationFailed, Message: "Authorization failed."}
		case !f.valid():
			err = &cluster.Error{Code: errcode.InvalidRequest, Message: "Invalid filter"}
		default:
			var gone []cluster.ACL
			err = h.cluster.Update(ctx, func(img *cluster.Image) ([]cluster.Command, error) {
				for i := range img.ACLs {
					if f.matches(&img.ACLs[i]) {
						gone = append(gone, img.ACLs[i])
					}
				}
				if len(gone) == 0 {
					return nil, nil
				}
				return []cluster.Command{&cluster.DeleteACLs{ACLs: gone}}, nil
			})
			for _, a := range gone {
				m := kmsg.NewDeleteACLsResponseResultMatchingACL()
				m.ResourceType, m.ResourceName, m.ResourcePatternType = kmsg.ACLResourceType(a.ResourceType), a.ResourceName, kmsg.ACLResourcePatternType(a.Pattern)
				m.Principal, m.Host, m.Operation, m.PermissionType = a.Principal, a.Host, kmsg.ACLOperation(a.Operation), kmsg.ACLPermissionType(a.Permission)
				out.MatchingACLs = append(out.MatchingACLs, m)
			}
		}
		if out.ErrorCode, out.ErrorMessage = h.code(err); err != nil {
			out.MatchingACLs = nil
		}
		resp.Results = append(resp.Results, out)
	}
	return resp, nil
}
