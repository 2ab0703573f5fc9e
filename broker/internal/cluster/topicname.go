package cluster

import (
	"strconv"
	"strings"

	"github.com/quokka-stream/quokka/broker/internal/errcode"
)

// The internal topics.
const (
	OffsetsTopic = "__consumer_offsets"
	TxnTopic     = "__transaction_state"
)

// IsInternal says whether a topic is the broker's own.
func IsInternal(name string) bool { return name == OffsetsTopic || name == TxnTopic }

// MaxTopicName is the most characters in the name of a topic.
const MaxTopicName = 249

// CheckTopicName refuses what is no topic name.
func CheckTopicName(name string) error {
	bad := func(why string) error {
		return refuse(errcode.InvalidTopic, "Topic name is invalid: %s", why)
	}
	switch {
	case name == "":
		return bad("the empty string is not allowed")
	case name == "." || name == "..":
		return bad("'.' or '..' is not allowed")
	case len(name) > MaxTopicName:
		return bad("the length of '" + name[:32] + "...' is longer than the max allowed length " + strconv.Itoa(MaxTopicName))
	}
	for _, c := range name {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '.' && c != '_' && c != '-' {
			return bad("'" + name + "' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'")
		}
	}
	return nil
}

// Collision returns an existing topic whose name differs from name in nothing but
// '.' against '_': metric names cannot tell the two apart.
func (i *Image) Collision(name string) string {
	if !strings.ContainsAny(name, "._") {
		return ""
	}
	folded := strings.ReplaceAll(name, ".", "_")
	for other := range i.topics {
		if other != name && len(other) == len(name) && strings.ReplaceAll(other, ".", "_") == folded {
			return other
		}
	}
	return ""
}
