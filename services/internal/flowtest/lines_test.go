package flowtest

import "github.com/quokka-stream/quokka/schemas/events"

// lineOf returns the event as a log line; the zero line if it is none.
func lineOf(e events.Event) events.LogLine {
	if l, ok := e.(*events.LogLine); ok {
		return *l
	}
	return events.LogLine{}
}
