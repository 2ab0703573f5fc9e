// Package order takes customers' orders and keeps their state.
//
// An order is the fold of its events (Apply): the service uses the same function
// to change its table as `quokka orders as-of` uses on the topic. Events of one
// customer leave in the order in which they were committed, because every
// transaction that emits one holds the customer's row lock from before its decision
// to its commit.
//
// Customers live here too. Their table is captured: changes reach others by change
// data capture, not by events.
package order
