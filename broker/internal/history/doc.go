// Package history decides whether a broker kept its promises, from what its clients
// saw: records sent and what was told of them, transactions, committed offsets, and
// what was read. It is pure: a History goes in, anomalies come out. It asks the
// broker nothing and shares no code with it, so that kills, power cuts and injected
// failures are all held to one rule. The idea, and most of the anomalies, are those
// of Jepsen's kafka workload.
//
// Time is a count: whoever records a history takes a tick before an operation and
// one after it, and only operations that do not overlap are put in an order.
//
// What a fault excuses is said by Cut: after a kill -9 nothing is excused; a power cut
// under the group policy excuses what was not acknowledged by acks=all; under the
// interval and os policies it excuses whatever lies above the end of what was found,
// which is why what was found has to be a prefix.
package history
