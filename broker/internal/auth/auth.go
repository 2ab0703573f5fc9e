// Package auth decides who may do what.
package auth

// Operation is an operation on a resource, numbered as in Kafka's protocol.
type Operation int8

// The operations.
const (
	Read            Operation = 3
	Write           Operation = 4
	Create          Operation = 5
	Delete          Operation = 6
	Alter           Operation = 7
	Describe        Operation = 8
	ClusterAction   Operation = 9
	DescribeConfigs Operation = 10
	AlterConfigs    Operation = 11
	IdempotentWrite Operation = 12
)

// ResourceType is a kind of resource, numbered as in Kafka's protocol.
type ResourceType int8

// The resource types.
const (
	Topic           ResourceType = 2
	Group           ResourceType = 3
	Cluster         ResourceType = 4
	TransactionalID ResourceType = 5
)

// ClusterName is the only resource of type Cluster.
const ClusterName = "kafka-cluster"

// Anonymous is the principal of a connection without authentication.
const Anonymous = "User:ANONYMOUS"

// Authorizer says whether a principal, coming from a host, may do an operation.
type Authorizer interface {
	Allowed(principal, host string, op Operation, typ ResourceType, name string) bool
	// AllowedAny says whether there may be a resource of the type that it may do it on.
	AllowedAny(principal, host string, op Operation, typ ResourceType) bool
}

// AllowAll is the Authorizer of a broker without access control.
type AllowAll struct{}

// Allowed is always true.
func (AllowAll) Allowed(string, string, Operation, ResourceType, string) bool { return true }

// OperationsOf returns the operations that make sense for a type of resource.
func OperationsOf(typ ResourceType) []Operation {
	switch typ {
	case Topic:
		return []Operation{Read, Write, Create, Delete, Alter, Describe, DescribeConfigs, AlterConfigs}
	case Group:
		return []Operation{Read, Delete, Describe, DescribeConfigs, AlterConfigs}
	case Cluster:
		return []Operation{Create, ClusterAction, DescribeConfigs, AlterConfigs, IdempotentWrite, Alter, Describe}
	default:
		return []Operation{Write, Describe}
	}
}

// AllowedAny is always true.
func (AllowAll) AllowedAny(string, string, Operation, ResourceType) bool { return true }
