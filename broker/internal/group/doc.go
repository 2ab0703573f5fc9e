// Package group is the state of consumer groups of the classic protocol, whatever
// their protocol type: members, generations, the rebalance. It is a pure state
// machine: it has no I/O, no clock and no goroutine. A caller steps it with
// requests and with Tick, passing the time, and carries out the effects that a
// step leaves behind. Groups of the consumer protocol are in package
// consumergroup; what they share, committed offsets, is here.
//
// # The life of a group
//
//	Empty ── join ──▶ PreparingRebalance ── all joined, or deadline ──▶ CompletingRebalance
//	  ▲                 ▲           │                                        │ leader's sync
//	  │                 │           │ no member left                         ▼
//	  └─────────────────┼───────────┘◀────────── join, leave, expiry ───── Stable
//
// In PreparingRebalance members are collected: each JoinGroup waits (its Ref is
// kept) until every known member has joined again and every member id handed out
// has been used, or until the longest rebalance timeout has passed, when those
// missing are dropped. A group that was Empty waits the initial delay instead, so
// that a fleet of consumers starting together shares one generation. Then the
// generation rises, a protocol that all support is voted, and the joins are
// answered: the leader gets every member's metadata, the others none. In
// CompletingRebalance the members wait in SyncGroup for what the leader assigns.
//
// # Invariants
//
//   - A Ref is answered exactly once.
//   - Every member of a Stable group has the assignment of its generation (it may be empty).
//   - The leader is a member, unless the group has none.
//   - A change that must survive a restart — a generation that became stable or
//     empty, a static member that came back under a new id — sets Dirty before the
//     effects that reveal it are emitted; the caller writes it before it answers.
package group
