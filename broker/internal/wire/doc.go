// Package wire is the byte level of the Kafka protocol: frames with limits that
// hold before anything is allocated, request headers, and codecs.
//
// Produce and Fetch, which carry nearly all bytes, have codecs of their own that
// do not copy records and allocate nothing per partition. Every other message is
// decoded by franz-go's kmsg. kmsg allocates what an array length claims, so a
// request is walked by its shape first (see shape.go): lengths, array counts and
// tag counts are checked against the bytes that are really there, and the memory
// that decoding will take is charged against a budget (see Budget). What Produce
// requests take while they come in has a budget of its own (see FrameBudget).
package wire
