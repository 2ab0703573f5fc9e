package cdc

import "bytes"

// tracePrefix is the prefix of the logical message that carries a transaction's
// trace context: traceparent, a line feed, tracestate. It is transactional, so
// that it comes in its transaction and goes with it, and it comes first, so
// that it is there before the rows.
const tracePrefix = "quokka.trace"

// traceContext is a W3C trace context as its writer wrote it.
type traceContext struct {
	parent, state []byte
}

// maxTraceState is what a tracestate may be long; the standard asks to carry at
// least 512 bytes.
const maxTraceState = 1024

// parseTrace takes a trace context from a logical message. Any session that may
// call a function can write any message, so it is checked before it becomes a
// header: a version, ids that are not zero, flags; and a tracestate of printable
// characters. A bad tracestate is dropped alone, as the standard says.
func parseTrace(content []byte) (traceContext, bool) {
	parent, state, _ := bytes.Cut(content, []byte{'\n'})
	if !validTraceparent(parent) {
		return traceContext{}, false
	}
	t := traceContext{parent: bytes.Clone(parent)}
	if len(state) > 0 && len(state) <= maxTraceState && printable(state) {
		t.state = bytes.Clone(state)
	}
	return t, true
}

// validTraceparent checks version-traceid-parentid-flags.
func validTraceparent(b []byte) bool {
	const version, traceID, parentID, flags = 2, 32, 16, 2
	if len(b) != version+1+traceID+1+parentID+1+flags {
		return false
	}
	parts := bytes.Split(b, []byte{'-'})
	if len(parts) != 4 || len(parts[0]) != version || len(parts[1]) != traceID || len(parts[2]) != parentID || len(parts[3]) != flags {
		return false
	}
	for _, p := range parts {
		for _, c := range p {
			if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
				return false
			}
		}
	}
	// Version ff is not one; a later version than 00 may have more behind the
	// flags, which is not sent here.
	return string(parts[0]) != "ff" && !zero(parts[1]) && !zero(parts[2])
}

func zero(hex []byte) bool { return len(bytes.Trim(hex, "0")) == 0 }

func printable(b []byte) bool {
	for _, c := range b {
		if c < 0x20 || c > 0x7e {
			return false
		}
	}
	return true
}
