// Package consumergroup is the state of consumer groups of the consumer protocol
// (KIP-848): members and their subscriptions, the target assignment that the
// broker computes, and each member's way to it. It is a pure state machine: it has
// no I/O, no clock and no goroutine. A caller steps it with requests and with
// Tick, gives it the World as it is at that moment, and writes the Changes that a
// step leaves behind before it answers.
//
// # Three epochs
//
// The group epoch rises with every change that asks for another assignment: a
// member comes, goes or subscribes to something else, a subscribed topic is
// created, deleted or grows. When the next heartbeat finds the group epoch above
// the assignment epoch, the assignor computes a new target for every member, and
// the assignment epoch follows. Each member then walks to its target on its own,
// at its own heartbeats, and takes the assignment epoch as its member epoch:
//
//	          target has what others hold
//	Stable ───────────────────────────────▶ UnreleasedPartitions
//	 ▲  │ must give up partitions                │       ▲
//	 │  └──────────▶ UnrevokedPartitions ◀───────┘       │
//	 └─────────────────── │ ── it no longer owns them ───┘
//
// A member in UnrevokedPartitions keeps its old epoch until its heartbeat says
// that it no longer owns what was to be revoked; only then are these partitions
// free. One that does not manage within its rebalance timeout is removed.
//
// # Classic members
//
// Members may speak the classic protocol to the same group: JoinGroup is their
// way to reconcile, SyncGroup fetches what they are assigned, and Heartbeat tells
// them REBALANCE_IN_PROGRESS when they should join again. A classic group becomes
// one of these when its first member of the consumer protocol joins (FromClassic),
// and turns back when the last one goes (ToClassic).
//
// # Invariants
//
//   - A partition is held, assigned or being revoked, by one member at most.
//   - No member's epoch is above the assignment epoch, nor that above the group's.
//   - Whatever has to survive a restart is among the Changes of the step that changed it.
package consumergroup
