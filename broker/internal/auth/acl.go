package auth

import (
	"slices"
	"strings"

	"github.com/quokka-stream/quokka/broker/internal/cluster"
)

// The numbers of ACLs in Kafka's protocol that are not operations or types.
const (
	PatternLiteral  = 3
	PatternPrefixed = 4
	Deny            = 2
	Allow           = 3
	AllOperations   = 2
	Wildcard        = "*"
)

// ACLs is the Authorizer of the rules in the cluster image. A rule that denies
// wins; without any rule at all everything is allowed, with the first one all that
// no rule allows is denied. Super users may do everything.
type ACLs struct {
	Image      func() *cluster.Image
	SuperUsers []string // principals
	// DenyFirst: nobody else may do anything before the first rule.
	DenyFirst bool
}

// Allowed implements Authorizer.
func (a *ACLs) Allowed(principal, host string, op Operation, typ ResourceType, name string) bool {
	if slices.Contains(a.SuperUsers, principal) {
		return true
	}
	acls := a.Image().ACLs
	if len(acls) == 0 {
		return !a.DenyFirst
	}
	allowed := false
	for i := range acls {
		r := &acls[i]
		if !concerns(r, principal, host, typ, name) {
			continue
		}
		switch r.Permission {
		case Deny:
			if r.Operation == AllOperations || Operation(r.Operation) == op {
				return false
			}
		case Allow:
			allowed = allowed || r.Operation == AllOperations || implies(Operation(r.Operation), op)
		}
	}
	return allowed
}

// AllowedAny says whether the principal may do the operation on some resource of
// the type, whatever its name.
func (a *ACLs) AllowedAny(principal, host string, op Operation, typ ResourceType) bool {
	if slices.Contains(a.SuperUsers, principal) {
		return true
	}
	if len(a.Image().ACLs) == 0 {
		return !a.DenyFirst
	}
	for _, r := range a.Image().ACLs {
		if r.Permission == Allow && ResourceType(r.ResourceType) == typ &&
			a.Allowed(principal, host, op, typ, r.ResourceName) {
			return true
		}
	}
	return false
}

func concerns(r *cluster.ACL, principal, host string, typ ResourceType, name string) bool {
	if ResourceType(r.ResourceType) != typ ||
		(r.Principal != principal && r.Principal != "User:"+Wildcard) ||
		(r.Host != host && r.Host != Wildcard) {
		return false
	}
	if r.Pattern == PatternPrefixed {
		return strings.HasPrefix(name, r.ResourceName)
	}
	return r.ResourceName == name || r.ResourceName == Wildcard
}

// implies says whether a rule that allows one operation allows the other as well.
func implies(rule, op Operation) bool {
	switch op {
	case rule:
		return true
	case Describe:
		return rule == Read || rule == Write || rule == Delete || rule == Alter
	case DescribeConfigs:
		return rule == AlterConfigs
	}
	return false
}
