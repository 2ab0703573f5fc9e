// Package quota says how much a client may ask of the broker, and for how long one
// that asked for more is to be held back. It has neither clock nor I/O: the time is
// given with every question.
//
// A Table has the quotas that are set, each for an Entity: a user, a client id, both
// together, or an address. Which quota counts for a client is Kafka's order of
// precedence (Table.find); those whom it counts for share what it allows where the
// entity names them, and have it each where the entity is a default.
//
// A Meter has a bucket for each who use a quota. It fills at the quota's rate up to
// Burst of it, and what is used is taken out of it, if need be below zero: the client
// is then held back for the time in which the debt is filled up. Over a long time a
// client so gets its rate, and after a pause Burst of it at once. Kafka measures the
// rate over a window of as long, which comes to the same time of holding back.
package quota

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"time"
)

// Kind is what a quota bounds.
type Kind uint8

// The kinds of quotas.
const (
	Produce    Kind = iota // bytes of Produce requests a second
	Fetch                  // bytes of fetched records a second
	Request                // percent of one processor's time spent on requests
	Mutation               // partitions created and deleted a second
	Connection             // connections a second from one address
	kinds
)

// Kinds are all of them.
var Kinds = [kinds]Kind{Produce, Fetch, Request, Mutation, Connection}

// defs are the names of the kinds in Kafka's protocol, and what values they have.
var defs = [kinds]struct {
	key   string
	whole bool
	max   float64
	ofIP  bool
}{
	Produce:    {key: "producer_byte_rate", whole: true, max: math.MaxInt64},
	Fetch:      {key: "consumer_byte_rate", whole: true, max: math.MaxInt64},
	Request:    {key: "request_percentage"},
	Mutation:   {key: "controller_mutation_rate"},
	Connection: {key: "connection_creation_rate", whole: true, max: math.MaxInt32, ofIP: true},
}

// String is the quota's name in Kafka's protocol.
func (k Kind) String() string { return defs[k].key }

// Burst is for how long a client that used nothing may save up: ten seconds, as
// with Kafka's default of eleven samples of a second.
const Burst = 10 * time.Second

// Name is one part of an entity: a name, or the default that stands for all names
// without a quota of their own. The zero value is no part of it.
type Name struct {
	Set  bool   `json:"set"`
	Name string `json:"name,omitempty"` // "" is the default
}

// Default is the name of all who have no quota of their own.
var Default = Name{Set: true}

// Named is the name of one; of a client without a name it is the default.
func Named(name string) Name { return Name{Set: true, Name: name} }

// Entity is whom a quota is for: a user, a client id, a client id of a user, or an
// address.
type Entity struct {
	User     Name `json:"user,omitzero"`
	ClientID Name `json:"client_id,omitzero"`
	IP       Name `json:"ip,omitzero"`
}

// Compare orders entities, for lists that are the same each time.
func (e Entity) Compare(o Entity) int {
	name := func(a, b Name) int {
		if a.Set != b.Set {
			return map[bool]int{true: 1, false: -1}[a.Set]
		}
		return cmp.Compare(a.Name, b.Name)
	}
	return cmp.Or(name(e.User, o.User), name(e.ClientID, o.ClientID), name(e.IP, o.IP))
}

// Limits are the quotas of one entity; 0 is none.
type Limits [kinds]float64

// Remove removes the quota of a name, if there is such a one.
func (l *Limits) Remove(key string) {
	if k, ok := kindOf(key); ok {
		l[k] = 0
	}
}

// MarshalJSON writes the quotas by their names.
func (l Limits) MarshalJSON() ([]byte, error) {
	out := map[string]float64{}
	for k, v := range l {
		if v > 0 {
			out[defs[k].key] = v
		}
	}
	return json.Marshal(out)
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (l *Limits) UnmarshalJSON(b []byte) error {
	var in map[string]float64
	if err := json.Unmarshal(b, &in); err != nil {
		return err
	}
	*l = Limits{}
	for key, v := range in {
		k, ok := kindOf(key)
		if !ok {
			return fmt.Errorf("quota %q was written by a newer version", key)
		}
		l[k] = v
	}
	return nil
}

func kindOf(key string) (Kind, bool) {
	for _, k := range Kinds {
		if defs[k].key == key {
			return k, true
		}
	}
	return 0, false
}

// Check finds the quota of a name and says whether an entity may have it at a
// value. The error is what Kafka says.
func Check(e Entity, key string, value float64) (Kind, error) {
	k, ok := kindOf(key)
	if !ok || defs[k].ofIP != e.IP.Set {
		return k, fmt.Errorf("Invalid configuration key %s", key) //nolint:staticcheck // Kafka's words
	}
	switch d := defs[k]; {
	case math.IsNaN(value) || value <= 0:
		return k, fmt.Errorf("Quota %s must be greater than 0", key) //nolint:staticcheck // Kafka's words
	case d.whole && value != math.Trunc(value):
		return k, fmt.Errorf("%s cannot be a fractional value", key)
	case d.whole && value > d.max, math.IsInf(value, 0):
		return k, fmt.Errorf("Proposed value for %s is too large", key) //nolint:staticcheck // Kafka's words
	}
	return k, nil
}

// Table has the quotas that are set. One that is in use is not changed any more.
type Table map[Entity]Limits

// find returns the quota that counts for a client, and who shares it.
func (t Table) find(k Kind, user, clientID string) (rate float64, shared Entity, ok bool) {
	u, c := Named(user), Named(clientID)
	for _, e := range [...]Entity{
		{User: u, ClientID: c}, {User: u, ClientID: Default}, {User: u},
		{User: Default, ClientID: c}, {User: Default, ClientID: Default}, {User: Default},
		{ClientID: c}, {ClientID: Default},
	} {
		if rate := t[e][k]; rate > 0 {
			if e.User.Set {
				e.User = u
			}
			if e.ClientID.Set {
				e.ClientID = c
			}
			return rate, e, true
		}
	}
	return 0, Entity{}, false
}

// findIP is find for an address.
func (t Table) findIP(ip string) (rate float64, shared Entity, ok bool) {
	for _, e := range [...]Entity{{IP: Named(ip)}, {IP: Default}} {
		if rate := t[e][Connection]; rate > 0 {
			return rate, Entity{IP: Named(ip)}, true
		}
	}
	return 0, Entity{}, false
}
