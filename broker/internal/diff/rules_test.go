package diff

import "strings"

// action is what a rule does to a field.
type action int

const (
	keep   action = iota
	drop          // it is the server's own affair
	symbol        // an id: named in the order of appearance, so that equal ids stay equal
	when          // a timestamp: relative to the scenario's if near, else only whether there is one
	batch         // record batches: decoded
)

// rule says what happens to the fields of a name; in names those in which a path
// ends, the longest that fits. This is the only place where answers are changed
// before they are compared.
type rule struct {
	field string
	do    action
}

var rules = []rule{
	// Who and where the server is.
	{"Host", drop}, {"Port", drop}, {"Rack", drop}, {"ClusterID", drop}, {"Version", drop},
	{"NodeID", symbol}, {"ControllerID", symbol}, {"Leader", symbol}, {"LeaderID", symbol}, {"CoordinatorID", symbol},
	{"Replicas", symbol}, {"ISR", symbol}, {"OfflineReplicas", symbol}, {"ReplicaNodes", symbol}, {"ISRNodes", symbol},
	{"PreferredReadReplica", keep}, {"ReplicaID", symbol}, {"ReplicaDirectoryID", drop}, {"Dir", drop},
	{"ClientHost", drop}, {"LogDirs.TotalBytes", drop}, {"TotalBytes", drop}, {"UsableBytes", drop},
	// What is advertised is held against docs/broker.md by a test of its own.
	{"ApiVersionsResponse.ApiKeys", drop},
	// Load, and prose.
	{"ThrottleMillis", drop}, {"ErrorMessage", drop},
	// Ids.
	{"TopicID", symbol}, {"ProducerID", symbol}, {"MemberID", symbol}, {"LeaderID", symbol}, {"SessionID", symbol},
	{"ApiVersionsResponse.FinalizedFeaturesEpoch", drop},
	// Where a group's offsets are is a matter of its name and of how many partitions there are.
	{"TransactionStates.Topics.Partitions", drop},
	// Where a group's epochs begin is the server's affair.
	{"MemberEpoch", symbol}, {"AssignmentEpoch", symbol}, {"ConsumerGroupDescribeResponse.Groups.Epoch", symbol},
	// Time.
	{"Timestamp", when}, {"LogAppendTime", when}, {"StartTimestamp", when}, {"LastTimestamp", when}, {"MaxTimestamp", when},
	{"LastFetchTimestamp", when}, {"LastCaughtUpTimestamp", when},
	// Kafka numbers the coordinator's epochs by elections of its partition, and so
	// do we, but a restart of ours is one.
	{"CoordinatorEpoch", drop},
	// Records; their order is kept.
	{"RecordBatches", batch},
}

// ruleFor finds the rule of a field by its path, as Fetch.Topics.Partitions.Offset.
func ruleFor(path string) action {
	best, do := 0, keep
	for _, r := range rules {
		if len(r.field) > best && (path == r.field || strings.HasSuffix(path, "."+r.field)) {
			best, do = len(r.field), r.do
		}
	}
	return do
}
