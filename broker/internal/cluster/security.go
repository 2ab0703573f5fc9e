package cluster

import (
	"slices"

	"github.com/quokka-stream/quokka/broker/internal/errcode"
)

// Credential is what the broker keeps of a user's password for one SCRAM mechanism.
// The password cannot be told from it.
type Credential struct {
	Salt       []byte `json:"salt"`
	StoredKey  []byte `json:"stored_key"`
	ServerKey  []byte `json:"server_key"`
	Iterations int    `json:"iterations"`
}

// User has a credential for each mechanism that the user may log in by: 1 for
// SCRAM-SHA-256, 2 for SCRAM-SHA-512, as the protocol numbers them.
type User map[int8]Credential

// ACL allows or denies an operation, with the numbers of Kafka's protocol.
type ACL struct {
	ResourceType int8   `json:"resource_type"`
	ResourceName string `json:"resource_name"`
	Pattern      int8   `json:"pattern"` // 3 literal, 4 prefixed
	Principal    string `json:"principal"`
	Host         string `json:"host"`
	Operation    int8   `json:"operation"`
	Permission   int8   `json:"permission"` // 2 deny, 3 allow
}

// SetCredential gives a user a credential.
type SetCredential struct {
	User       string     `json:"user"`
	Mechanism  int8       `json:"mechanism"`
	Credential Credential `json:"credential"`
}

func (c *SetCredential) apply(i *Image) error {
	u := User{c.Mechanism: c.Credential}
	for mechanism, credential := range i.Users[c.User] {
		if mechanism != c.Mechanism {
			u[mechanism] = credential
		}
	}
	i.Users[c.User] = u
	return nil
}

// DeleteCredential takes a user's credential away.
type DeleteCredential struct {
	User      string `json:"user"`
	Mechanism int8   `json:"mechanism"`
}

func (c *DeleteCredential) apply(i *Image) error {
	old, ok := i.Users[c.User]
	if _, has := old[c.Mechanism]; !ok || !has {
		return refuse(errcode.ResourceNotFound, "Attempt to delete a user credential that does not exist")
	}
	u := User{}
	for mechanism, credential := range old {
		if mechanism != c.Mechanism {
			u[mechanism] = credential
		}
	}
	if delete(i.Users, c.User); len(u) > 0 {
		i.Users[c.User] = u
	}
	return nil
}

// AddACLs adds rules; one that is there already is not added again.
type AddACLs struct {
	ACLs []ACL `json:"acls"`
}

func (c *AddACLs) apply(i *Image) error {
	acls := slices.Clone(i.ACLs)
	for _, a := range c.ACLs {
		if !slices.Contains(acls, a) {
			acls = append(acls, a)
		}
	}
	i.ACLs = acls
	return nil
}

// DeleteACLs removes rules.
type DeleteACLs struct {
	ACLs []ACL `json:"acls"`
}

func (c *DeleteACLs) apply(i *Image) error {
	i.ACLs = slices.DeleteFunc(slices.Clone(i.ACLs), func(a ACL) bool { return slices.Contains(c.ACLs, a) })
	return nil
}
